// Files that are read whole.
#pragma once

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace braid {

// Returns the file's bytes. The error names the file: it cannot be read, is no regular file, or is longer than
// `max_bytes`.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t max_bytes);

}  // namespace braid
