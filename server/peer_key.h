// The secret that processes of one deployment share: who knows it may ask for prompts and hand them over.
// A signature is "v1.TIME.NONCE.MAC": Unix milliseconds, 32 hexadecimal digits, HMAC-SHA256 (RFC 2104) of purpose, time,
// nonce and content. It is good for a minute, once.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace braid {

// Thread: any.
class PeerKey {
 public:
  static constexpr int64_t kMaxAgeMs = 60'000;
  static constexpr size_t kMaxRemembered = 1 << 20;  // nonces; more in a minute are refused

  // `secret`: 16..512 bytes.
  explicit PeerKey(std::string secret) : secret_(std::move(secret)) {}

  // Reads the secret, without white space at its ends, from a file. The error names the flag.
  static absl::StatusOr<std::shared_ptr<PeerKey>> Read(const std::string& path);

  // Signs `content` for one purpose.
  std::string Sign(std::string_view purpose, std::string_view content) const;
  std::string SignAt(std::string_view purpose, std::string_view content, int64_t unix_ms) const;

  // Unauthenticated when the signature is not of this secret, purpose and content, is older than kMaxAgeMs, from the
  // future by as much, or was seen before.
  absl::Status Verify(std::string_view purpose, std::string_view content, std::string_view signature);
  absl::Status VerifyAt(std::string_view purpose, std::string_view content, std::string_view signature, int64_t now_unix_ms);

  // Proves knowledge of the secret in the answer to what `signature` signed; 64 hexadecimal digits.
  std::string Proof(std::string_view signature, std::string_view content) const;
  absl::Status CheckProof(std::string_view signature, std::string_view content, std::string_view proof) const;

 private:
  std::string Mac(std::string_view purpose, std::string_view nonce, std::string_view content) const;

  const std::string secret_;
  std::mutex mutex_;
  absl::btree_set<std::pair<int64_t, std::string>> seen_;  // time and nonce
};

}  // namespace braid
