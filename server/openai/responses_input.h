// The input items of POST /v1/responses, as the messages of a chat.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// `input`: a string or a list of at most `max_items` items. `instructions` (may be null) go before all.
// InvalidArgument names the item and its member.
absl::StatusOr<Json> ReadResponsesInput(const Json& input, const std::string* instructions, int max_items);

}  // namespace braid
