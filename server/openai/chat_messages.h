// The messages and tools of a chat, checked.
#pragma once

#include "absl/status/status.h"
#include "kernels/base/json.h"
#include "server/serving.h"

namespace braid {

// InvalidArgument names the message and the field that is wrong.
absl::Status CheckMessages(const Json& messages, const ServingLimits& limits);
absl::Status CheckTools(const Json& tools, const ServingLimits& limits);

}  // namespace braid
