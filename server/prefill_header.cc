#include "server/prefill_header.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr const char* kPurpose = "prefill-header";
constexpr size_t kMaxAddress = 300;

absl::string_view Abseil(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

absl::Status CheckAddress(std::string_view address) {
  const auto wrong = [&] {
    return absl::InvalidArgumentError(absl::StrCat("'", Abseil(address.substr(0, kMaxAddress)), "' is not HOST:PORT"));
  };
  const size_t colon = address.rfind(':');
  if (address.size() > kMaxAddress || colon == std::string_view::npos || colon == 0) return wrong();
  std::string_view host = address.substr(0, colon);
  int port;
  if (!absl::SimpleAtoi(Abseil(address.substr(colon + 1)), &port) || port < 1 || port > 65535) return wrong();
  const bool v6 = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (v6) host = host.substr(1, host.size() - 2);
  const bool good = std::all_of(host.begin(), host.end(), [&](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_' || (v6 && c == ':');
  });
  return good ? absl::OkStatus() : wrong();
}

std::string WritePrefillHeader(const PeerKey& key, std::string_view address) {
  return absl::StrCat(Abseil(address), " ", key.Sign(kPurpose, address));
}

absl::StatusOr<std::string> ReadPrefillHeader(PeerKey& key, std::string_view header) {
  const size_t space = header.find(' ');
  const std::string_view address = header.substr(0, space);
  const std::string_view signature = space == std::string_view::npos ? "" : header.substr(space + 1);
  RETURN_IF_ERROR(key.Verify(kPurpose, address, signature));
  RETURN_IF_ERROR(CheckAddress(address));
  return std::string(address);
}

}  // namespace braid
