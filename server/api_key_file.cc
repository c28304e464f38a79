#include "server/api_key_file.h"

#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace braid {
namespace {

constexpr size_t kMaxKeys = 10'000;
constexpr size_t kMaxKeyBytes = 512;

}  // namespace

absl::StatusOr<std::vector<KeyHash>> ReadApiKeyFile(const std::string& path) {
  const auto wrong = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat("--api-key-file: ", path, ": ", what...));
  };
  std::ifstream file(path);
  if (!file) return wrong("cannot be read");
  std::vector<KeyHash> keys;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const std::string key(absl::StripAsciiWhitespace(line));
    if (key.empty() || key[0] == '#') continue;
    if (key.size() > kMaxKeyBytes) return wrong("line ", number, ": a key has at most ", kMaxKeyBytes, " bytes");
    if (keys.size() == kMaxKeys) return wrong("more than ", kMaxKeys, " keys");
    keys.push_back(HashKey(key));
  }
  if (keys.empty()) return wrong("holds no key");
  return keys;
}

}  // namespace braid
