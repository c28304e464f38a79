// HOST:PORT.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace braid {

struct Address {
  std::string host;  // a name or an IP address, IPv6 without brackets
  int port = 0;      // 1..65535

  // IPv6 in brackets.
  std::string ToText() const;
};

// "HOST:PORT" or "[V6]:PORT"; InvalidArgument says what is wrong.
absl::StatusOr<Address> ParseAddress(std::string_view text);

}  // namespace braid
