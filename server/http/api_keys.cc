#include "server/http/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"

namespace braid {

KeyHash HashKey(std::string_view key) {
  KeyHash hash;
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

std::optional<std::string> ApiKeys::Identify(std::string_view key) const {
  const KeyHash hash = HashKey(key);
  bool known = false;
  for (const KeyHash& allowed : *hashes_.Get()) known |= CRYPTO_memcmp(hash.data(), allowed.data(), hash.size()) == 0;
  if (!known) return std::nullopt;
  return absl::BytesToHexString({reinterpret_cast<const char*>(hash.data()), 8});
}

std::optional<std::string> ApiKeys::IdentifyBearer(std::string_view authorization) const {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string_view scheme = authorization.substr(0, kScheme.size());
  if (!absl::EqualsIgnoreCase({scheme.data(), scheme.size()}, {kScheme.data(), kScheme.size()})) return std::nullopt;
  std::string_view key = authorization.substr(kScheme.size());
  while (!key.empty() && key.front() == ' ') key.remove_prefix(1);
  return Identify(key);
}

}  // namespace braid
