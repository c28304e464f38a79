// The input items of POST /v1/responses, as the messages of a chat.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"
#include "server/openai/response_store.h"

namespace braid {

// `input`: a string or a list of items, which go on from those of `earlier`; at most `max_items` together. `instructions`
// (may be null) go before all. InvalidArgument names the item and its member.
absl::StatusOr<Json> ReadResponsesInput(const Json& input, const Conversation& earlier, const std::string* instructions, int max_items);

// The items of an `input` that was read, as they are listed later: each with a type and an id.
Json ItemsToKeep(const Json& input);

}  // namespace braid
