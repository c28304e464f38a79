#include "server/limit_settings.h"

#include "server/setting_kinds.h"

namespace braid {
namespace {

constexpr const char* kGroup = "Limits";
constexpr int kMillion = 1'000'000;

std::vector<Setting> ConnectionLimits() {
  return {
      Number("max-connections", kGroup, [](Config& c) -> auto& { return c.http_limits.max_connections; }, 1, 1 << 20,
             "HTTP connections at once"),
      Number("max-request-line-bytes", kGroup, [](Config& c) -> auto& { return c.http_limits.head.max_request_line_bytes; }, 64,
             1 << 20, "Longest request line; past it 414"),
      Number("max-header-bytes", kGroup, [](Config& c) -> auto& { return c.http_limits.head.max_header_bytes; }, 256, 1 << 20,
             "All header lines of a request; past it 431"),
      Number("max-headers", kGroup, [](Config& c) -> auto& { return c.http_limits.head.max_headers; }, 1, 10'000,
             "Header lines of a request; past it 431"),
      Size("max-body-bytes", kGroup, [](Config& c) -> auto& { return c.http_limits.max_body_bytes; }, "",
           "Largest request body; past it 413"),
      Size("max-chunk-extra-bytes", kGroup, [](Config& c) -> auto& { return c.http_limits.max_chunk_extra_bytes; }, "",
           "Extensions and trailers of a chunked body"),
      Number("grpc-max-message-bytes", kGroup, [](Config& c) -> auto& { return c.grpc_max_message_bytes; }, 1024, 1 << 30,
             "Largest gRPC request; past it RESOURCE_EXHAUSTED"),
      Number("grpc-max-streams", kGroup, [](Config& c) -> auto& { return c.grpc_max_streams; }, 1, 1 << 20,
             "gRPC calls at once on a connection; more of them wait at the client"),
  };
}

std::vector<Setting> TimeLimits() {
  return {
      Seconds("header-timeout-s", kGroup, [](Config& c) -> auto& { return c.http_limits.header_timeout_ms; },
              "From a request's first byte to the end of its headers; past it 408"),
      Seconds("body-gap-timeout-s", kGroup, [](Config& c) -> auto& { return c.http_limits.body_gap_timeout_ms; },
              "Between two pieces of a body; past it 408"),
      Seconds("body-timeout-s", kGroup, [](Config& c) -> auto& { return c.http_limits.body_timeout_ms; },
              "The whole body; past it 408"),
      Seconds("idle-timeout-s", kGroup, [](Config& c) -> auto& { return c.http_limits.idle_timeout_ms; },
              "Between two requests of a connection; past it closed"),
      Seconds("unread-timeout-s", kGroup, [](Config& c) -> auto& { return c.http_limits.unread_timeout_ms; },
              "A reader may leave max-unread-bytes waiting for so long; past it cancelled"),
      Size("max-unread-bytes", kGroup, [](Config& c) -> auto& { return c.http_limits.max_unread_bytes; }, "",
           "Of a slow reader"),
  };
}

std::vector<Setting> BodyLimits() {
  return {
      Number("json-max-depth", kGroup, [](Config& c) -> auto& { return c.request_limits.json.max_depth; }, 1, 256,
             "Lists and objects inside each other in a body"),
      Number("json-max-members", kGroup, [](Config& c) -> auto& { return c.request_limits.json.max_members; }, 1, kMillion,
             "Members of all objects of a body"),
      Number("json-max-digits", kGroup, [](Config& c) -> auto& { return c.request_limits.json.max_number_digits; }, 20, 1024,
             "Digits of a number"),
      Number("max-messages", kGroup, [](Config& c) -> auto& { return c.request_limits.max_messages; }, 1, kMillion,
             "Messages of a call"),
      Number("max-tools", kGroup, [](Config& c) -> auto& { return c.request_limits.max_tools; }, 1, 4096, "Tools of a call"),
      Number("max-prompts", kGroup, [](Config& c) -> auto& { return c.request_limits.max_prompts; }, 1, kMillion,
             "Prompts of a completions call"),
      Size("max-schema-bytes", kGroup, [](Config& c) -> auto& { return c.request_limits.max_schema_bytes; }, "",
           "A JSON schema, regular expression or grammar"),
  };
}

std::vector<Setting> FieldLimits() {
  return {
      Number("max-n", kGroup, [](Config& c) -> auto& { return c.request_limits.max_n; }, 1, 128, "n and best_of"),
      Number("max-logprobs", kGroup, [](Config& c) -> auto& { return c.request_limits.max_logprobs; }, 0, 20,
             "logprobs of completions"),
      Number("max-top-logprobs", kGroup, [](Config& c) -> auto& { return c.request_limits.max_top_logprobs; }, 0, 20,
             "top_logprobs of chats"),
      Number("max-stop-strings", kGroup, [](Config& c) -> auto& { return c.request_limits.max_stop_strings; }, 1, 1024,
             "Strings of stop"),
      Number("max-stop-bytes", kGroup, [](Config& c) -> auto& { return c.request_limits.max_stop_bytes; }, 1, 1 << 16,
             "One string of stop"),
      Number("max-logit-bias", kGroup, [](Config& c) -> auto& { return c.request_limits.max_logit_bias; }, 0, kMillion,
             "Token ids of logit_bias"),
  };
}

std::vector<Setting> StoreLimits() {
  return {
      Number("max-stored-responses", kGroup, [](Config& c) -> auto& { return c.stored_responses.max_count; }, 0, kMillion,
             "Responses that are kept to be fetched and gone on from; 0: none"),
      Size("max-stored-bytes", kGroup, [](Config& c) -> auto& { return c.stored_responses.max_bytes; }, "",
           "The same with what they answered; the least recently used go first"),
      Seconds("stored-response-s", kGroup, [](Config& c) -> auto& { return c.stored_responses.max_idle_ms; },
              "A response is kept so long after it was last used"),
  };
}

}  // namespace

std::vector<Setting> LimitSettings() {
  std::vector<Setting> all;
  for (auto& group : {ConnectionLimits(), TimeLimits(), BodyLimits(), FieldLimits(), StoreLimits()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

}  // namespace braid
