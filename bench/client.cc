#include "bench/client.h"

#include "kernels/base/errors.h"
#include "server/http/event_reader.h"

namespace braid::bench {
namespace {

// The member as text; empty when it is absent or no text.
std::string Text(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

bool Filled(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it != object.end() && (it->is_string() || it->is_array()) && !(it->is_string() ? Text(object, name).empty() : it->empty());
}

// Whether a chunk's choice carries tokens: text of any sort, tool calls, or bare ids.
bool CarriesTokens(const Json& choice) {
  if (Filled(choice, "text") || Filled(choice, "token_ids")) return true;
  const auto delta = choice.find("delta");
  if (delta == choice.end() || !delta->is_object()) return false;
  return Filled(*delta, "content") || Filled(*delta, "reasoning") || Filled(*delta, "reasoning_content") ||
         Filled(*delta, "tool_calls");
}

int Count(const Json& usage, const char* name) {
  const auto it = usage.find(name);
  return it != usage.end() && it->is_number_integer() ? it->get<int>() : 0;
}

std::string ErrorKind(const absl::Status& status) {
  if (absl::IsDeadlineExceeded(status)) return "timeout";
  const std::string words(status.message());
  return words.substr(0, words.find(':'));
}

}  // namespace

std::string CallBody(const PlannedRequest& request, const CallOptions& options) {
  Json body = {{"model", options.model}};
  if (options.chat) {
    body["messages"] = Json::array({{{"role", "user"}, {"content", request.prompt}}});
  } else if (!request.ids.empty()) {
    body["prompt"] = request.ids;
    body["return_token_ids"] = true;
  } else {
    body["prompt"] = request.prompt;
  }
  body["max_tokens"] = request.output_tokens;
  body["temperature"] = options.temperature;
  if (options.ignore_eos) body["ignore_eos"] = true;
  if (options.stream) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  return WriteJson(body);
}

void ReplyReader::TakeUsage(const Json& reply) {
  const auto usage = reply.find("usage");
  if (usage == reply.end() || !usage->is_object()) return;
  result_.prompt_tokens = Count(*usage, "prompt_tokens");
  result_.output_tokens = Count(*usage, "completion_tokens");
}

void ReplyReader::TakeChoices(const Json& reply, Instant now) {
  const auto choices = reply.find("choices");
  if (choices == reply.end() || !choices->is_array()) return;
  for (const Json& choice : *choices) {
    if (!choice.is_object()) continue;
    if (const std::string reason = Text(choice, "finish_reason"); !reason.empty()) result_.finish_reason = reason;
    if (!any_choice_) result_.ttft_s = Since(due_, now);
    any_choice_ = true;
    if (!stream_ || !CarriesTokens(choice)) continue;
    if (any_token_) {
      result_.gaps_s.push_back(Since(last_token_, now));
    } else {
      result_.ttft_s = Since(due_, now);
    }
    any_token_ = true;
    last_token_ = now;
    ++token_chunks_;
  }
}

void ReplyReader::TakeEvent(std::string_view data, Instant now) {
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  const auto event = ParseJson(data);
  if (!event.ok() || !event->is_object()) return TakeBadEvent();
  if (event->contains("error")) {
    result_.error = "error event";
    return;
  }
  TakeChoices(*event, now);
  TakeUsage(*event);
}

void ReplyReader::TakeBody(std::string_view body, Instant now) {
  const auto reply = ParseJson(body);
  if (!reply.ok() || !reply->is_object()) {
    result_.error = "bad reply";
    return;
  }
  TakeChoices(*reply, now);
  TakeUsage(*reply);
}

CallResult ReplyReader::Finish(const absl::StatusOr<int>& status, Instant now) {
  result_.e2e_s = Since(due_, now);
  if (!stream_) result_.ttft_s = result_.e2e_s;
  if (result_.output_tokens == 0) result_.output_tokens = token_chunks_;
  if (!status.ok()) {
    result_.error = ErrorKind(status.status());
  } else if (*status != 200) {
    result_.error = absl::StrCat("http ", *status);
  } else if (result_.error.empty() && !any_choice_) {
    result_.error = "no choice";
  } else if (result_.error.empty() && stream_ && (!done_ || result_.finish_reason.empty())) {
    result_.error = "cut short";
  }
  return std::move(result_);
}

boost::asio::awaitable<CallResult> Call(HttpConnection& connection, const PlannedRequest& request,
                                        const CallOptions& options, Instant due) {
  ReplyReader reader(options.stream, due);
  EventReader events;
  const EventReader::OnEvent on_event = [&](std::string_view data, std::string_view) {
    reader.TakeEvent(data, std::chrono::steady_clock::now());
  };
  std::string body;
  bool readable = true;
  const std::function<void(std::string_view)> on_body = [&](std::string_view piece) {
    if (options.stream) {
      if (readable && !(readable = events.Feed(piece, on_event))) reader.TakeBadEvent();
    } else {
      body.append(piece);
    }
  };
  const HttpRequest http{"POST", options.chat ? "/v1/chat/completions" : "/v1/completions", CallBody(request, options),
                         options.api_key};
  const absl::StatusOr<int> status = co_await connection.Exchange(http, options.timeout, on_body);
  const Instant now = std::chrono::steady_clock::now();
  if (!options.stream && status.ok() && *status == 200) reader.TakeBody(body, now);
  co_return reader.Finish(status, now);
}

boost::asio::awaitable<absl::StatusOr<Json>> Fetch(HttpConnection& connection, HttpRequest request,
                                                   std::chrono::nanoseconds limit) {
  std::string body;
  const std::function<void(std::string_view)> on_body = [&](std::string_view piece) { body.append(piece); };
  const absl::StatusOr<int> status = co_await connection.Exchange(request, limit, on_body);
  if (!status.ok()) co_return status.status();
  if (*status != 200) co_return absl::UnavailableError(absl::StrCat(request.target, ": http ", *status, ": ", body));
  co_return ParseJson(body);
}

}  // namespace braid::bench
