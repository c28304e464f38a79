// The JSON numbers within bounds, and the multiples of a number, as automata over their digits.
#pragma once

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "engine/grammar/decimal.h"
#include "engine/grammar/text_dfa.h"

namespace braid {

struct NumberBound {
  Decimal value;
  bool open = false;  // the value itself is out
};

// Multiples of factor / 10^scale.
struct MultipleOf {
  uint64_t factor = 1;
  int scale = 0;
};

struct NumberSet {
  bool integer = false;  // written without a fraction
  std::optional<NumberBound> min, max;
  std::optional<MultipleOf> multiple;

  bool IsAll() const { return !min && !max && !multiple; }
  // Keeps the tighter bound, the common multiple. InvalidArgument: too large.
  void RaiseMin(const NumberBound& bound);
  void LowerMax(const NumberBound& bound);
  absl::Status AlsoMultipleOf(const Decimal& divisor);
  // No number is in it; false where that takes more than a look at the bounds.
  bool IsEmpty() const;
  bool Contains(const Decimal& value) const;
};

inline constexpr uint64_t kMaxFactor = 2'000;

// The texts of the numbers in `set`, without an exponent and without -0. InvalidArgument: too many states.
absl::StatusOr<TextDfa> NumberDfa(const NumberSet& set);

}  // namespace braid
