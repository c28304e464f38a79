// Request bodies of every API: one of bad shape is refused in words that make a body of JSON.
#include "server/anthropic/error_json.h"
#include "server/anthropic/messages_request.h"
#include "server/openai/request_json.h"
#include "server/openai/responses_request.h"
#include "server/status_mapping.h"
#include "tests/fuzz/input.h"

namespace braid {
namespace {

template <class Request>
void CheckRead(const absl::StatusOr<Request>& request) {
  if (request.ok()) return;
  fuzz::CheckRefusal(request.status());
  CHECK(HttpStatusOf(request.status()) >= 400 && HttpStatusOf(request.status()) < 500) << request.status().ToString();
  CHECK(ParseJson(ErrorBody(request.status())).ok());
  CHECK(ParseJson(MessagesErrorBody(request.status())).ok());
}

// What was read is written, and read again, as the same.
void CheckRoundTrip(const Json& json) {
  const std::string text = WriteJson(json);
  const auto again = ParseJson(text);
  CHECK(again.ok()) << again.status().ToString();
  CHECK(WriteJson(*again) == text);
}

}  // namespace
}  // namespace braid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  static const ServingLimits limits;
  static const GenerationDefaults defaults;
  const RequestRules rules{limits, defaults, 1000};
  const auto json = ParseJson(fuzz::Text(data, size), limits.json);
  fuzz::CheckRefusal(json.status());
  if (!json.ok()) return 0;
  CheckRoundTrip(*json);
  CheckRead(ReadChatRequest(*json, rules));
  CheckRead(ReadCompletionRequest(*json, rules));
  CheckRead(ReadTokenizeRequest(*json, rules));
  CheckRead(ReadDetokenizeRequest(*json, rules));
  CheckRead(ReadApplyTemplateRequest(*json, rules));
  CheckRead(ReadResponsesRequest(*json, rules));
  CheckRead(ReadMessagesRequest(*json, rules));
  CheckRead(ReadCountTokensRequest(*json, rules));
  return 0;
}
