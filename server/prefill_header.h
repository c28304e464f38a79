// x-braid-prefill: "ADDRESS SIGNATURE", with which a router tells a decoding process who computes the prompt. The
// signature keeps everybody else from making that process connect anywhere.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "server/peer_key.h"

namespace braid {

inline constexpr const char* kPrefillHeader = "x-braid-prefill";

// `address`: HOST:PORT.
std::string WritePrefillHeader(const PeerKey& key, std::string_view address);

// The address; InvalidArgument when it is none, Unauthenticated when the signature is not good.
absl::StatusOr<std::string> ReadPrefillHeader(PeerKey& key, std::string_view header);

}  // namespace braid
