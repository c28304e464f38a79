#include "server/peer_key.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include <chrono>
#include <cstdlib>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/base/fresh_id.h"
#include "models/weights/regular_file.h"

namespace braid {
namespace {

constexpr size_t kMinSecret = 16, kMaxSecret = 512, kNonceDigits = 32;
constexpr int64_t kMaxFileBytes = 4096;

int64_t UnixMs() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

absl::string_view Abseil(std::string_view text) { return {text.data(), text.size()}; }

bool Equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::Status Refuse(const char* why) { return absl::UnauthenticatedError(absl::StrCat("peer: ", why)); }

}  // namespace

absl::StatusOr<std::shared_ptr<PeerKey>> PeerKey::Read(const std::string& path) {
  const auto text = ReadWholeFile(path, kMaxFileBytes);
  if (!text.ok()) return absl::InvalidArgumentError(absl::StrCat("--handover-key-file: ", text.status().message()));
  std::string secret(absl::StripAsciiWhitespace(*text));
  if (secret.size() < kMinSecret || secret.size() > kMaxSecret) {
    return absl::InvalidArgumentError(absl::StrCat("--handover-key-file: ", path, ": ", secret.size(), " bytes; ",
                                                   kMinSecret, "..", kMaxSecret, " are wanted"));
  }
  return std::make_shared<PeerKey>(std::move(secret));
}

// Lengths stand before the parts, so that no two lists of parts read alike.
std::string PeerKey::Mac(std::string_view purpose, std::string_view nonce, std::string_view content) const {
  std::string message;
  for (const std::string_view part : {purpose, nonce, content}) absl::StrAppend(&message, part.size(), ":", Abseil(part));
  unsigned char mac[32];
  unsigned size = sizeof mac;
  HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), mac, &size);
  return absl::BytesToHexString({reinterpret_cast<const char*>(mac), size});
}

std::string PeerKey::Sign(std::string_view purpose, std::string_view content) const {
  return SignAt(purpose, content, UnixMs());
}

std::string PeerKey::SignAt(std::string_view purpose, std::string_view content, int64_t unix_ms) const {
  const std::string head = absl::StrCat("v1.", unix_ms, ".", FreshHexId(kNonceDigits));
  return absl::StrCat(head, ".", Mac(purpose, head, content));
}

absl::Status PeerKey::Verify(std::string_view purpose, std::string_view content, std::string_view signature) {
  return VerifyAt(purpose, content, signature, UnixMs());
}

absl::Status PeerKey::VerifyAt(std::string_view purpose, std::string_view content, std::string_view signature,
                               int64_t now_unix_ms) {
  const std::vector<absl::string_view> parts = absl::StrSplit(Abseil(signature), absl::MaxSplits('.', 4));
  int64_t time;
  if (parts.size() != 4 || parts[0] != "v1" || !absl::SimpleAtoi(parts[1], &time) || parts[2].size() != kNonceDigits) {
    return Refuse("no signature, or one of another form");
  }
  const std::string_view head = signature.substr(0, signature.rfind('.'));
  if (!Equal(Mac(purpose, head, content), {parts[3].data(), parts[3].size()})) return Refuse("the signature is wrong");
  if (time < now_unix_ms - kMaxAgeMs || time > now_unix_ms + kMaxAgeMs) {
    return Refuse("the signature is not of this minute: are the clocks set?");
  }
  std::lock_guard lock(mutex_);
  seen_.erase(seen_.begin(), seen_.lower_bound({now_unix_ms - kMaxAgeMs, ""}));
  if (seen_.size() >= kMaxRemembered) return Refuse("too many signatures in a minute");
  if (!seen_.emplace(time, std::string(parts[2])).second) return Refuse("the signature was used before");
  return absl::OkStatus();
}

std::string PeerKey::Proof(std::string_view signature, std::string_view content) const {
  return Mac("reply", signature, content);
}

absl::Status PeerKey::CheckProof(std::string_view signature, std::string_view content, std::string_view proof) const {
  return Equal(Proof(signature, content), proof) ? absl::OkStatus() : Refuse("the answer's proof is wrong");
}

}  // namespace braid
