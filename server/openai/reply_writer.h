// How an API words the answer of a call: one writer a call, one class an API.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/openai/choice_part.h"

namespace braid {

// Thread: where answers arrive.
class ReplyWriter {
 public:
  // Receives an event of a stream. `type` is the event's name; empty where the API names none.
  using Emit = std::function<void(std::string_view type, std::string_view json)>;

  virtual ~ReplyWriter() = default;

  // The whole answer of a call without a stream.
  virtual std::string Whole(std::span<const ChoicePart> choices, const Usage& usage) = 0;

  // A stream: Begin when the first token exists, Part for each piece of news of a choice, End when all are complete.
  virtual void Begin(const Usage& usage, const Emit& emit) = 0;
  virtual void Part(const ChoicePart& part, const Usage& usage, const Emit& emit) = 0;
  virtual void End(const Usage& usage, const Emit& emit) = 0;
  // A stream that has begun breaks off; false: this API has no words of its own for that, the door finds some.
  virtual bool Fail(const absl::Status& /*status*/, const Usage& /*usage*/, const Emit& /*emit*/) { return false; }
};

}  // namespace braid
