// The body of POST /v1/responses.
#pragma once

#include <optional>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"
#include "server/openai/request_json.h"
#include "server/openai/response_store.h"

namespace braid {

struct ResponsesRequest {
  ChatRequest chat;
  Json echo;   // the members of the response object that repeat the request
  std::optional<ResponseStore::NewResponse> keep;  // without its id; none: the response is not kept
  bool background = false;                         // answered at once, and fetched later
};

// Checks the fields under their own names, then reads them as a chat's.
absl::StatusOr<ResponsesRequest> ReadResponsesRequest(const Json& body, const RequestRules& rules);

}  // namespace braid
