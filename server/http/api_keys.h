// Who may call: SHA-256 hashes of the keys, compared in constant time.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/latest.h"

namespace braid {

using KeyHash = std::array<uint8_t, 32>;

// The SHA-256 of a key.
KeyHash HashKey(std::string_view key);

// Thread: any.
class ApiKeys {
 public:
  explicit ApiKeys(std::vector<KeyHash> hashes) : hashes_(std::make_shared<Hashes>(std::move(hashes))) {}

  // No keys: everybody may call.
  bool open() const { return hashes_.Get()->empty(); }

  // Other keys from now on; calls under way go on.
  void Replace(std::vector<KeyHash> hashes) { hashes_.Set(std::make_shared<Hashes>(std::move(hashes))); }

  // Returns a short name of the key's identity (of its hash), nothing for an unknown key.
  std::optional<std::string> Identify(std::string_view key) const;

  // The same for the value of an Authorization header: "Bearer KEY".
  std::optional<std::string> IdentifyBearer(std::string_view authorization) const;

 private:
  using Hashes = const std::vector<KeyHash>;
  Latest<Hashes> hashes_;
};

}  // namespace braid
