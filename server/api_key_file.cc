#include "server/api_key_file.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "models/weights/regular_file.h"

namespace braid {
namespace {

constexpr size_t kMaxKeys = 10'000;
constexpr size_t kMaxKeyBytes = 512;
constexpr int64_t kMaxFileBytes = 8 << 20;

// "sha256:" and 64 hexadecimal digits; nothing for other digits.
std::optional<KeyHash> HashOf(absl::string_view digits) {
  KeyHash hash;
  if (digits.size() != 2 * hash.size()) return std::nullopt;
  for (char c : digits) {
    if (!absl::ascii_isxdigit(static_cast<unsigned char>(c))) return std::nullopt;
  }
  const std::string bytes = absl::HexStringToBytes(digits);
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

std::optional<KeyHash> KeyOf(absl::string_view line) {
  if (absl::ConsumePrefix(&line, "sha256:")) return HashOf(line);
  return HashKey({line.data(), line.size()});
}

}  // namespace

absl::StatusOr<std::vector<KeyHash>> ReadApiKeyFile(const std::string& path) {
  const auto wrong = [&](const auto&... what) {
    return absl::InvalidArgumentError(absl::StrCat("--api-key-file: ", path, ": ", what...));
  };
  const auto text = ReadWholeFile(path, kMaxFileBytes);
  if (!text.ok()) return absl::InvalidArgumentError(absl::StrCat("--api-key-file: ", text.status().message()));
  std::vector<KeyHash> keys;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(*text, '\n')) {
    ++number;
    const absl::string_view key = absl::StripAsciiWhitespace(line);
    if (key.empty() || key[0] == '#') continue;
    if (key.size() > kMaxKeyBytes) return wrong("line ", number, ": a key has at most ", kMaxKeyBytes, " bytes");
    if (keys.size() == kMaxKeys) return wrong("more than ", kMaxKeys, " keys");
    const std::optional<KeyHash> hash = KeyOf(key);
    if (!hash.has_value()) return wrong("line ", number, ": sha256: wants 64 hexadecimal digits behind it");
    keys.push_back(*hash);
  }
  if (keys.empty()) return wrong("holds no key");
  return keys;
}

}  // namespace braid
