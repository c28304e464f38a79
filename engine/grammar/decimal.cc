#include "engine/grammar/decimal.h"

#include <algorithm>

namespace braid {
namespace {

constexpr int kMaxDigits = 400;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string TakeDigits(std::string_view* text) {
  size_t n = 0;
  while (n < text->size() && IsDigit((*text)[n])) ++n;
  std::string digits(text->substr(0, n));
  text->remove_prefix(n);
  return digits;
}

bool TakeChar(std::string_view* text, char c) {
  if (text->empty() || text->front() != c) return false;
  text->remove_prefix(1);
  return true;
}

// The exponent at the start of `text`: 0 where there is none; nullopt: ill-formed or past all use.
std::optional<int> TakeExponent(std::string_view* text) {
  if (!TakeChar(text, 'e') && !TakeChar(text, 'E')) return 0;
  const bool negative = TakeChar(text, '-');
  if (!negative) TakeChar(text, '+');
  const std::string digits = TakeDigits(text);
  int exponent = 0;
  for (const char digit : digits) exponent = std::min(exponent * 10 + (digit - '0'), 10 * kMaxDigits);
  if (digits.empty() || exponent > kMaxDigits) return std::nullopt;
  return negative ? -exponent : exponent;
}

void Shift(int exponent, Decimal* value) {
  for (; exponent > 0; --exponent) {
    value->whole += value->fraction.empty() ? '0' : value->fraction[0];
    if (!value->fraction.empty()) value->fraction.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    value->fraction.insert(value->fraction.begin(), value->whole.empty() ? '0' : value->whole.back());
    if (!value->whole.empty()) value->whole.pop_back();
  }
}

void Tidy(Decimal* value) {
  value->whole.erase(0, std::min(value->whole.find_first_not_of('0'), value->whole.size()));
  if (value->whole.empty()) value->whole.push_back('0');
  while (!value->fraction.empty() && value->fraction.back() == '0') value->fraction.pop_back();
  if (value->IsZero()) value->negative = false;
}

int CompareSizes(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size() ? -1 : 1;
  const int whole = a.whole.compare(b.whole);
  return whole != 0 ? whole : a.fraction.compare(b.fraction);
}

// One more than the digits of `whole` say.
std::string Successor(std::string whole) {
  size_t i = whole.size();
  while (i > 0 && whole[i - 1] == '9') whole[--i] = '0';
  if (i == 0) return "1" + whole;
  ++whole[i - 1];
  return whole;
}

Decimal Rounded(const Decimal& value, bool up) {
  if (value.IsInteger()) return value;
  Decimal rounded{.negative = value.negative, .whole = up != value.negative ? Successor(value.whole) : value.whole};
  Tidy(&rounded);
  return rounded;
}

}  // namespace

Decimal Decimal::Negated() const {
  Decimal negated = *this;
  negated.negative = !negative && !IsZero();
  return negated;
}

std::string Decimal::Text() const { return (negative ? "-" : "") + whole + (fraction.empty() ? "" : "." + fraction); }

int Compare(const Decimal& a, const Decimal& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  return a.negative ? CompareSizes(b, a) : CompareSizes(a, b);
}

std::optional<Decimal> ParseDecimal(std::string_view text) {
  Decimal value;
  value.negative = TakeChar(&text, '-');
  value.whole = TakeDigits(&text);
  if (value.whole.empty()) return std::nullopt;
  if (TakeChar(&text, '.')) value.fraction = TakeDigits(&text);
  const std::optional<int> exponent = TakeExponent(&text);
  if (!exponent || !text.empty() || value.whole.size() + value.fraction.size() > kMaxDigits) return std::nullopt;
  Shift(*exponent, &value);
  Tidy(&value);
  return value;
}

std::optional<Decimal> DecimalOf(const Json& number) {
  if (!number.is_number()) return std::nullopt;
  return ParseDecimal(number.dump());
}

Decimal Ceiling(const Decimal& value) { return Rounded(value, true); }
Decimal Floor(const Decimal& value) { return Rounded(value, false); }

}  // namespace braid
