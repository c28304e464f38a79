#include "engine/grammar/number_range.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "kernels/base/errors.h"

namespace braid {
namespace {

enum class Phase { kFirst, kZero, kWhole, kPoint, kFraction };

// Where a reader of one number without its sign is.
struct Place {
  Phase phase = Phase::kFirst;
  int digits = 0;              // of this phase, as far as they matter
  int to_min = 0, to_max = 0;  // below 0, 0, above 0: less than, equal to, greater than the bound so far
  uint64_t rest = 0;           // the digits so far, modulo the factor

  auto Key() const { return std::tuple(phase, digits, to_min, to_max, rest); }
  bool operator<(const Place& other) const { return Key() < other.Key(); }
};

int Sign(int difference) { return difference < 0 ? -1 : difference > 0 ? 1 : 0; }

// Numbers of one sign: bounds on their size. Walks their digits from left to right.
class SizeWalker {
 public:
  SizeWalker(const std::optional<NumberBound>& min, const std::optional<NumberBound>& max, const NumberSet& set)
      : min_(min), max_(max), integer_(set.integer), multiple_(set.multiple) {
    for (const auto& bound : {min, max}) {
      if (!bound) continue;
      longest_whole_ = std::max(longest_whole_, static_cast<int>(bound->value.whole.size()));
      longest_fraction_ = std::max(longest_fraction_, static_cast<int>(bound->value.fraction.size()));
    }
    if (multiple_) longest_fraction_ = std::max(longest_fraction_, multiple_->scale);
  }

  std::optional<Place> Digit(const Place& at, int digit) const {
    switch (at.phase) {
      case Phase::kFirst:
        return Whole({.phase = digit == 0 ? Phase::kZero : Phase::kWhole}, digit);
      case Phase::kWhole:
        return Whole(at, digit);
      case Phase::kPoint:
      case Phase::kFraction:
        return Fraction(at, digit);
      case Phase::kZero:
        break;
    }
    return std::nullopt;
  }

  std::optional<Place> Point(const Place& at) const {
    if (integer_ || (at.phase != Phase::kZero && at.phase != Phase::kWhole)) return std::nullopt;
    Place next = WholeEnded(at);
    next.phase = Phase::kPoint;
    return next;
  }

  bool MayEnd(const Place& at) const {
    if (at.phase == Phase::kFirst || at.phase == Phase::kPoint) return false;
    Place end = at.phase == Phase::kFraction ? at : WholeEnded(at);
    if (min_ && end.to_min == 0 && end.digits < Size(min_->value.fraction)) end.to_min = -1;
    if (max_ && end.to_max == 0 && end.digits < Size(max_->value.fraction)) end.to_max = -1;
    if (min_ && (end.to_min < 0 || (end.to_min == 0 && min_->open))) return false;
    if (max_ && (end.to_max > 0 || (end.to_max == 0 && max_->open))) return false;
    return !multiple_ || IsMultiple(end);
  }

 private:
  static int Size(const std::string& digits) { return static_cast<int>(digits.size()); }

  uint64_t Rest(uint64_t rest, int digit) const { return multiple_ ? (rest * 10 + digit) % multiple_->factor : 0; }

  bool IsMultiple(const Place& end) const {
    uint64_t rest = end.rest;
    for (int i = end.digits; i < multiple_->scale; ++i) rest = Rest(rest, 0);
    return rest == 0;
  }

  Place Whole(const Place& at, int digit) const {
    Place next = at;
    next.rest = Rest(at.rest, digit);
    next.digits = std::min(at.digits + 1, longest_whole_ + 1);
    Advance(min_, at.digits, digit, &next.to_min);
    Advance(max_, at.digits, digit, &next.to_max);
    return next;
  }

  // One more digit of the whole part, against the bound's digit in the same place; longer numbers are greater.
  static void Advance(const std::optional<NumberBound>& bound, int index, int digit, int* order) {
    if (!bound) return;
    const std::string& whole = bound->value.whole;
    if (index >= Size(whole)) {
      *order = 1;
    } else if (*order == 0) {
      *order = Sign(digit - (whole[index] - '0'));
    }
  }

  // Shorter numbers are less; counts digits of the fraction from here.
  Place WholeEnded(const Place& at) const {
    Place ended = at;
    if (min_ && at.digits < Size(min_->value.whole)) ended.to_min = -1;
    if (max_ && at.digits < Size(max_->value.whole)) ended.to_max = -1;
    ended.digits = 0;
    return ended;
  }

  std::optional<Place> Fraction(const Place& at, int digit) const {
    Place next = at;
    next.phase = Phase::kFraction;
    next.digits = std::min(at.digits + 1, longest_fraction_);
    if (multiple_ && at.digits >= multiple_->scale) {
      if (digit != 0) return std::nullopt;
    } else {
      next.rest = Rest(at.rest, digit);
    }
    const auto advance = [&](const std::optional<NumberBound>& bound, int* order) {
      if (!bound || *order != 0) return;
      const std::string& fraction = bound->value.fraction;
      *order = Sign(digit - (at.digits < Size(fraction) ? fraction[at.digits] - '0' : 0));
    };
    advance(min_, &next.to_min);
    advance(max_, &next.to_max);
    return next;
  }

  const std::optional<NumberBound> min_, max_;
  const bool integer_;
  const std::optional<MultipleOf> multiple_;
  int longest_whole_ = 0, longest_fraction_ = 0;
};

constexpr int kMinusClass = 1, kPointClass = 2, kZeroClass = 4;

// Classes: others, '-', '.', others, then the digits, others.
TextDfa EmptyNumberDfa() {
  TextDfa dfa{.starts = {0, '-', '.', '/'}};
  for (uint32_t digit = '0'; digit <= ':'; ++digit) dfa.starts.push_back(digit);
  return dfa;
}

int32_t AddState(TextDfa* dfa) {
  dfa->label.push_back(0);
  dfa->next.resize(dfa->next.size() + dfa->starts.size(), -1);
  return dfa->num_states() - 1;
}

// Adds the numbers of `walker`; state `first` is before their first digit.
absl::Status AddNumbers(const SizeWalker& walker, int32_t first, TextDfa* dfa) {
  std::map<Place, int32_t> ids = {{Place{}, first}};
  std::vector<Place> work = {Place{}};
  const auto id_of = [&](const Place& place) {
    const auto [at, is_new] = ids.try_emplace(place, 0);
    if (is_new) at->second = AddState(dfa), work.push_back(place);
    return at->second;
  };
  while (!work.empty()) {
    const Place place = work.back();
    work.pop_back();
    const size_t row = static_cast<size_t>(ids.at(place)) * dfa->starts.size();
    if (walker.MayEnd(place)) dfa->label[ids.at(place)] = 1;
    for (int digit = 0; digit < 10; ++digit) {
      if (const auto next = walker.Digit(place, digit)) {
        const int32_t id = id_of(*next);
        dfa->next[row + kZeroClass + digit] = id;
      }
    }
    if (const auto next = walker.Point(place)) {
      const int32_t id = id_of(*next);
      dfa->next[row + kPointClass] = id;
    }
    if (dfa->num_states() > 4 * kMaxDfaStates) {
      return absl::InvalidArgumentError("needs too large an automaton: want fewer digits or a smaller multipleOf");
    }
  }
  return absl::OkStatus();
}

std::optional<NumberBound> Negated(const std::optional<NumberBound>& bound) {
  if (!bound) return std::nullopt;
  return NumberBound{bound->value.Negated(), bound->open};
}

const NumberBound kAboveZero = {Decimal{}, true};

// 10^exponent; 0: too large for 64 bits.
uint64_t PowerOfTen(int exponent) {
  if (exponent > 19) return 0;
  uint64_t power = 1;
  while (exponent-- > 0) power *= 10;
  return power;
}

}  // namespace

void NumberSet::RaiseMin(const NumberBound& bound) {
  const int order = min ? Compare(bound.value, min->value) : 1;
  if (order > 0 || (order == 0 && bound.open)) min = bound;
}

void NumberSet::LowerMax(const NumberBound& bound) {
  const int order = max ? Compare(bound.value, max->value) : -1;
  if (order < 0 || (order == 0 && bound.open)) max = bound;
}

absl::Status NumberSet::AlsoMultipleOf(const Decimal& divisor) {
  const auto too_large = [&] {
    return absl::InvalidArgumentError(absl::StrCat(divisor.Text(), " (with the other multipleOf here) needs more than ",
                                                   kMaxFactor, " remainders to be kept apart: not supported"));
  };
  if (divisor.fraction.size() > 18 || divisor.whole.size() > 18) return too_large();
  MultipleOf next{.factor = 0, .scale = static_cast<int>(divisor.fraction.size())};
  for (const char digit : divisor.whole + divisor.fraction) {
    if (next.factor > (1ull << 59)) return too_large();
    next.factor = next.factor * 10 + (digit - '0');
  }
  const MultipleOf old = multiple.value_or(next);
  const int scale = std::max(old.scale, next.scale);
  const unsigned __int128 a = static_cast<unsigned __int128>(old.factor) * PowerOfTen(scale - old.scale);
  const unsigned __int128 b = static_cast<unsigned __int128>(next.factor) * PowerOfTen(scale - next.scale);
  const bool fits = a < (1ull << 62) && b < (1ull << 62);
  if (!fits) return too_large();
  const uint64_t x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
  const unsigned __int128 common = static_cast<unsigned __int128>(x / std::gcd(x, y)) * y;
  if (common > kMaxFactor) return too_large();
  multiple = MultipleOf{static_cast<uint64_t>(common), scale};
  return absl::OkStatus();
}

bool NumberSet::IsEmpty() const {
  if (!min || !max) return false;
  const Decimal low = integer ? Ceiling(min->value) : min->value, high = integer ? Floor(max->value) : max->value;
  const int order = Compare(low, high);
  return order > 0 || (order == 0 && ((min->open && low == min->value) || (max->open && high == max->value)));
}

bool NumberSet::Contains(const Decimal& value) const {
  if (integer && !value.IsInteger()) return false;
  NumberSet one = *this;
  const NumberBound itself{value, false};
  one.RaiseMin(itself);
  one.LowerMax(itself);
  if (one.IsEmpty() || (one.min->value != value) || (one.max->value != value)) return false;
  if (!multiple) return true;
  const auto dfa = NumberDfa({.multiple = multiple});
  return dfa.ok() && LabelOf(*dfa, value.Text()) != 0;
}

absl::StatusOr<TextDfa> NumberDfa(const NumberSet& set) {
  TextDfa dfa = EmptyNumberDfa();
  const int32_t start = AddState(&dfa);
  if (!set.max || !set.max->value.negative) {
    const auto min = set.min && !set.min->value.negative ? set.min : std::nullopt;
    RETURN_IF_ERROR(AddNumbers(SizeWalker(min, set.max, set), start, &dfa));
  }
  if (!set.min || set.min->value.negative) {
    const bool below = set.max && set.max->value.negative;
    const auto least = below ? Negated(set.max) : std::optional<NumberBound>(kAboveZero);
    const int32_t minus = AddState(&dfa);
    dfa.next[kMinusClass] = minus;
    RETURN_IF_ERROR(AddNumbers(SizeWalker(least, Negated(set.min), set), minus, &dfa));
  }
  return Smallest(dfa);
}

}  // namespace braid
