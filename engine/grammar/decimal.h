// Numbers as their decimal digits: exact, of any size that JSON numbers come in.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/json.h"

namespace braid {

struct Decimal {
  bool negative = false;    // never of zero
  std::string whole = "0";  // no leading zeros but that of "0"
  std::string fraction;     // no trailing zeros

  bool IsZero() const { return whole == "0" && fraction.empty(); }
  bool IsInteger() const { return fraction.empty(); }
  Decimal Negated() const;
  std::string Text() const;  // without an exponent
  bool operator==(const Decimal&) const = default;
};

// Below, at or above zero as `a` is less than, equal to or greater than `b`.
int Compare(const Decimal& a, const Decimal& b);

// nullopt: not a JSON number, or more than 400 digits when written out.
std::optional<Decimal> ParseDecimal(std::string_view text);
std::optional<Decimal> DecimalOf(const Json& number);

// The least integer that is not below `value`, and the greatest that is not above.
Decimal Ceiling(const Decimal& value);
Decimal Floor(const Decimal& value);

}  // namespace braid
