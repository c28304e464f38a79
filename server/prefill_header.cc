#include "server/prefill_header.h"

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/address.h"

namespace braid {
namespace {

constexpr const char* kPurpose = "prefill-header";

absl::string_view Abseil(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

std::string WritePrefillHeader(const PeerKey& key, std::string_view address) {
  return absl::StrCat(Abseil(address), " ", key.Sign(kPurpose, address));
}

absl::StatusOr<std::string> ReadPrefillHeader(PeerKey& key, std::string_view header) {
  const size_t space = header.find(' ');
  const std::string_view address = header.substr(0, space);
  const std::string_view signature = space == std::string_view::npos ? "" : header.substr(space + 1);
  RETURN_IF_ERROR(key.Verify(kPurpose, address, signature));
  RETURN_IF_ERROR(ParseAddress(address).status());
  return std::string(address);
}

}  // namespace braid
