// The file of keys that may call.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/http/api_keys.h"

namespace braid {

// Reads one key a line, or its hash as sha256:HEX; empty lines and those that begin with # are passed over. Only hashes
// are kept. An error names the file and the line, never a key.
absl::StatusOr<std::vector<KeyHash>> ReadApiKeyFile(const std::string& path);

}  // namespace braid
