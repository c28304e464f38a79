// What a router must know of a request's body, and does to it and to the events of its answer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/json.h"

namespace braid {

// A stream of one choice can go on at another worker from the ids of the tokens told so far: they are asked for, and
// taken out of what the client sees unless it asked too. Thread: one at a time.
class RoutedBody {
 public:
  // Whatever does not read as a request is passed on as it is; the worker says what is wrong with it.
  RoutedBody(std::string_view path, std::string body);

  // The beginning that prefix affinity goes by; its length tells whether a prompt is short.
  const std::string& prompt() const { return prompt_; }
  bool can_resume() const { return can_resume_; }

  // The body for a worker; for a stream that has `begun` one that goes on from the tokens so far.
  std::string ForWorker(bool begun) const;

  // Takes in one event's data. Returns what the client is to see; empty: nothing.
  std::string Take(std::string_view data);

  // The last token has come.
  bool finished() const { return finished_; }
  bool wants_usage() const { return wants_usage_; }
  const std::vector<int32_t>& ids() const { return ids_; }

  // Whether an event's data is an error, and one that another worker need not have.
  static bool IsError(std::string_view data, bool* of_worker);

 private:
  void ReadPrompt();
  bool CanResume(std::string_view path) const;
  void TakeChoice(Json& choice);

  std::string body_;
  Json json_;                // null: not an object
  std::string prompt_;
  bool can_resume_ = false;
  bool wants_ids_ = false, wants_usage_ = false;
  std::vector<int32_t> ids_;
  bool finished_ = false;
};

}  // namespace braid
