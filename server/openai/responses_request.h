// The body of POST /v1/responses.
#pragma once

#include "absl/status/statusor.h"
#include "kernels/base/json.h"
#include "server/openai/request_json.h"

namespace braid {

struct ResponsesRequest {
  ChatRequest chat;
  Json echo;   // the members of the response object that repeat the request
};

// Checks the fields under their own names, then reads them as a chat's.
absl::StatusOr<ResponsesRequest> ReadResponsesRequest(const Json& body, const RequestRules& rules);

}  // namespace braid
