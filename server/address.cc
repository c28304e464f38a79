#include "server/address.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace braid {
namespace {

constexpr size_t kMaxAddress = 300;

absl::string_view Abseil(std::string_view text) { return {text.data(), text.size()}; }

bool IsHost(std::string_view host, bool v6) {
  return std::all_of(host.begin(), host.end(), [&](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_' || (v6 && c == ':');
  });
}

}  // namespace

std::string Address::ToText() const {
  return host.find(':') == std::string::npos ? absl::StrCat(host, ":", port) : absl::StrCat("[", host, "]:", port);
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  std::string_view host = text.substr(0, colon);
  const bool v6 = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (v6) host = host.substr(1, host.size() - 2);
  Address address{std::string(host), 0};
  const bool has_port = colon != std::string_view::npos && absl::SimpleAtoi(Abseil(text.substr(colon + 1)), &address.port);
  if (text.size() > kMaxAddress || host.empty() || !IsHost(host, v6) || !has_port || address.port < 1 || address.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", Abseil(text.substr(0, kMaxAddress)), "' is not HOST:PORT"));
  }
  return address;
}

}  // namespace braid
