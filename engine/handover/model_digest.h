// Whether two processes serve the same weights.
#pragma once

#include <string>

#include "models/weights/checkpoint.h"

namespace braid {

// 16 hex digits of every tensor's name, type and shape and of its first and last 64 bytes: other weights, other digits,
// unless they were made to agree. Reads a page or two of each tensor and marks all as read: call it once the checkpoint's
// unread names have been asked for.
std::string ModelDigest(const Checkpoint& checkpoint);

}  // namespace braid
