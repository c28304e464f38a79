// The bodies of POST /v1/messages and /v1/messages/count_tokens.
#pragma once

#include "absl/status/statusor.h"
#include "kernels/base/json.h"
#include "server/openai/request_json.h"

namespace braid {

// Check the fields under their own names, then read them as a chat's.
absl::StatusOr<ChatRequest> ReadMessagesRequest(const Json& body, const RequestRules& rules);
absl::StatusOr<ChatRequest> ReadCountTokensRequest(const Json& body, const RequestRules& rules);

}  // namespace braid
