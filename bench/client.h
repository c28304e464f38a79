// Calls of the OpenAI surface, with the time of every token.
#pragma once

#include <utility>  // boost/asio/awaitable.hpp needs it and does not say so

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/http_connection.h"
#include "bench/workload.h"
#include "kernels/base/json.h"

namespace braid::bench {

using Instant = std::chrono::steady_clock::time_point;

// How requests are put.
struct CallOptions {
  std::string model;
  bool chat = true;          // /v1/chat/completions, else /v1/completions
  bool stream = true;
  bool ignore_eos = false;
  double temperature = 0;
  std::string api_key;
  std::chrono::nanoseconds timeout{};
};

// What one request came to. Times are seconds since the moment it was due.
struct CallResult {
  double sent_s = 0;              // since the start of the run
  double ttft_s = 0;              // first token; not known without streaming: equals e2e_s
  double e2e_s = 0;               // last byte
  std::vector<double> gaps_s;     // between successive chunks that carry tokens
  int prompt_tokens = 0;          // by the server's usage
  int output_tokens = 0;
  std::string finish_reason;
  std::string error;              // kind: "connect", "http 503", "timeout", "error event", ...; empty when it succeeded

  bool ok() const { return error.empty(); }
  // Mean time per output token after the first; 0 with fewer than two.
  double TimePerToken() const { return output_tokens > 1 ? (e2e_s - ttft_s) / (output_tokens - 1) : 0; }
};

// Returns the request's body for the options' route.
std::string CallBody(const PlannedRequest& request, const CallOptions& options);

// Turns the pieces of one reply into a CallResult. Needs no socket, so that tests can feed it.
class ReplyReader {
 public:
  // `due`: the zero of the result's times.
  ReplyReader(bool stream, Instant due) : stream_(stream), due_(due) {}

  // Takes the data of one event that came at `now`.
  void TakeEvent(std::string_view data, Instant now);
  // Takes that the stream is not to be read on.
  void TakeBadEvent() { result_.error = "bad event"; }
  // Takes a whole reply.
  void TakeBody(std::string_view body, Instant now);
  // Ends the reply: `status` is the HTTP status or why there was none.
  CallResult Finish(const absl::StatusOr<int>& status, Instant now);

 private:
  void TakeUsage(const Json& reply);
  void TakeChoices(const Json& reply, Instant now);
  double Since(Instant from, Instant to) const { return std::chrono::duration<double>(to - from).count(); }

  const bool stream_;
  const Instant due_;
  Instant last_token_{};
  bool any_token_ = false;
  bool any_choice_ = false;
  bool done_ = false;
  int token_chunks_ = 0;
  CallResult result_;
};

// Sends one request and reads its reply to the end.
boost::asio::awaitable<CallResult> Call(HttpConnection& connection, const PlannedRequest& request,
                                        const CallOptions& options, Instant due);

// GET or POST of a JSON document; the reply's document, or an error with the status.
boost::asio::awaitable<absl::StatusOr<Json>> Fetch(HttpConnection& connection, HttpRequest request,
                                                   std::chrono::nanoseconds limit);

}  // namespace braid::bench
