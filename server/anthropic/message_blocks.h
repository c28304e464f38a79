// The messages of POST /v1/messages, made of content blocks, as the messages of a chat.
#pragma once

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// `system` (may be null): a string or a list of text blocks. `messages`: at most `max_messages`.
// InvalidArgument names the message, the block and its member.
absl::StatusOr<Json> ReadBlocks(const Json* system, const Json& messages, int max_messages);

}  // namespace braid
