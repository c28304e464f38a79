#include "models/chat/jinja_format.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>

#include "absl/strings/str_cat.h"
#include "models/chat/jinja_operators.h"
#include "models/chat/jinja_print.h"
#include "models/chat/jinja_text.h"

namespace braid::jinja {
namespace {

constexpr size_t kMaxWidth = 10'000;
constexpr int kMaxPrecision = 100;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// One conversion: flags, width, precision and the letter that says how.
struct Spec {
  std::string fill = " ";
  char align = '\0';  // < > ^ =
  char sign = '\0';   // + or space
  bool alternate = false, grouped = false;
  size_t width = 0;
  std::optional<int> precision;
  char type = '\0';
};

size_t TakeNumber(std::string_view text, size_t* at, size_t most, const char* what) {
  size_t number = 0;
  for (; *at < text.size() && IsDigit(text[*at]); ++*at) {
    number = number * 10 + static_cast<size_t>(text[*at] - '0');
    if (number > most) throw Error(absl::StrCat("a format's ", what, " above ", most));
  }
  return number;
}

std::string Padded(const std::string& text, const Spec& spec, char default_align) {
  const size_t chars = CountChars(text);
  if (chars >= spec.width) return text;
  const size_t missing = spec.width - chars;
  const char align = spec.align != '\0' ? spec.align : default_align;
  const bool has_sign = !text.empty() && (text[0] == '-' || text[0] == '+' || text[0] == ' ');
  const size_t sign = align == '=' && has_sign ? 1 : 0;  // fill stands behind the sign
  const size_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  std::string out = text.substr(0, sign);
  for (size_t i = 0; i < before; ++i) out.append(spec.fill);
  out.append(text, sign);
  for (size_t i = before; i < missing; ++i) out.append(spec.fill);
  return out;
}

std::string Reversed(std::string text) {
  std::reverse(text.begin(), text.end());
  return text;
}

// A comma between each three digits before the point.
std::string Grouped(const std::string& digits) {
  const size_t end = std::min(digits.find_first_of(".e"), digits.size());
  std::string backwards;
  for (size_t i = end, n = 0; i > 0; --i, ++n) {
    if (n > 0 && n % 3 == 0) backwards.push_back(',');
    backwards.push_back(digits[i - 1]);
  }
  return Reversed(std::move(backwards)).append(digits, end);
}

std::string Signed(bool is_negative, const Spec& spec, const std::string& digits) {
  std::string out;
  if (is_negative || spec.sign != '\0') out.push_back(is_negative ? '-' : spec.sign);
  return out.append(spec.grouped ? Grouped(digits) : digits);
}

std::string InBase(Int value, unsigned base, bool upper) {
  const std::string_view digit_of = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  unsigned __int128 rest = value < 0 ? -static_cast<unsigned __int128>(value) : static_cast<unsigned __int128>(value);
  std::string digits;
  do {
    digits.push_back(digit_of[static_cast<size_t>(rest % base)]);
    rest /= base;
  } while (rest > 0);
  return Reversed(std::move(digits));
}

std::string IntDigits(Int value, const Spec& spec) {
  std::string digits;
  switch (spec.type) {
    case 'x':
    case 'X':
      digits = InBase(value, 16, spec.type == 'X');
      break;
    case 'o':
      digits = InBase(value, 8, false);
      break;
    case 'b':
      digits = InBase(value, 2, false);
      break;
    default:
      digits = InBase(value, 10, false);
  }
  const size_t least = static_cast<size_t>(spec.precision.value_or(0));
  std::string padded;
  if (spec.alternate && spec.type != 'd' && spec.type != '\0') padded = {'0', spec.type};
  if (digits.size() < least) padded.append(least - digits.size(), '0');
  return Signed(value < 0, spec, padded + digits);
}

std::string FloatDigits(double value, const Spec& spec) {
  const bool is_negative = std::signbit(value) && !std::isnan(value);
  if (!std::isfinite(value)) return Signed(is_negative, spec, std::isnan(value) ? "nan" : "inf");
  const char letter = spec.type == '%' ? 'f' : spec.type;
  const char format[] = {'%', '.', '*', letter, '\0'};
  char text[512];  // 309 digits before the point, at most 100 behind
  std::snprintf(text, sizeof text, format, spec.precision.value_or(6),
                std::fabs(spec.type == '%' ? value * 100 : value));
  return Signed(is_negative, spec, text) + (spec.type == '%' ? "%" : "");
}

Int IntOf(const Value& value, char type) {
  if (const std::optional<Int> integer = AsInt(value)) return *integer;
  const double* number = value.If<double>();
  if (number == nullptr || (type != 'd' && type != 'i') || !(std::fabs(*number) < 1e38)) {
    throw Error(absl::StrCat("%", std::string(1, type), " format: a number is required, not ", TypeName(value)));
  }
  return static_cast<Int>(*number);
}

double FloatOf(const Value& value) {
  const std::optional<double> number = AsFloat(value);
  if (!number) throw Error(absl::StrCat("a number is required, not ", TypeName(value)));
  return *number;
}

std::string Shortened(std::string text, const Spec& spec) {
  if (spec.precision) text.resize(ByteOfChar(text, static_cast<size_t>(*spec.precision)));
  return text;
}

// Walks a % format and appends each conversion of its values.
class PercentFormatter {
 public:
  PercentFormatter(Heap& heap, std::string_view format, const Value& values)
      : heap_(heap), format_(format), values_(values) {
    const Sequence* tuple = values.sequence();
    if (tuple != nullptr && tuple->kind == SequenceKind::kTuple) tuple_ = tuple;
  }

  std::string Run() {
    while (at_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', at_), format_.size());
      Add(format_.substr(at_, percent - at_));
      at_ = percent + 1;
      if (percent < format_.size()) Convert();
    }
    const bool all_used =
        named_ || (tuple_ != nullptr ? next_ == tuple_->items.size() : next_ > 0 || values_.dict() != nullptr);
    if (!all_used) throw Error("not all arguments converted during string formatting");
    return std::move(out_);
  }

 private:
  void Add(std::string_view piece) {
    heap_.CheckText(out_.size() + piece.size());
    heap_.Scan(piece.size() + 64);
    out_.append(piece);
  }

  const Value& NextValue() {
    if (key_) {
      const Dict* dict = values_.dict();
      const Value* found = dict == nullptr ? nullptr : dict->Find(*key_);
      if (found == nullptr) throw Error(absl::StrCat("format: no value '", *key_, "'"));
      named_ = true;
      return *found;
    }
    const size_t given = tuple_ != nullptr ? tuple_->items.size() : 1;
    if (next_ >= given) throw Error("not enough arguments for format string");
    return tuple_ != nullptr ? tuple_->items[next_++] : (++next_, values_);
  }

  void TakeKey() {
    key_.reset();
    if (at_ >= format_.size() || format_[at_] != '(') return;
    const size_t close = format_.find(')', at_);
    if (close == format_.npos) throw Error("incomplete format key");
    key_ = std::string(format_.substr(at_ + 1, close - at_ - 1));
    at_ = close + 1;
  }

  Spec TakeSpec() {
    Spec spec;
    for (; at_ < format_.size() && std::string_view("-+ #0").find(format_[at_]) != std::string_view::npos; ++at_) {
      const char flag = format_[at_];
      if (flag == '-') spec.align = '<';
      if (flag == '+' || (flag == ' ' && spec.sign == '\0')) spec.sign = flag;
      if (flag == '#') spec.alternate = true;
      if (flag == '0' && spec.align == '\0') spec.align = '=', spec.fill = std::string(1, '0');
    }
    if (at_ < format_.size() && format_[at_] == '*') throw Error("'*' in a format is not supported");
    spec.width = TakeNumber(format_, &at_, kMaxWidth, "width");
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      spec.precision = static_cast<int>(TakeNumber(format_, &at_, kMaxPrecision, "precision"));
    }
    if (at_ >= format_.size()) throw Error("incomplete format");
    spec.type = format_[at_++];
    return spec;
  }

  void Convert() {
    TakeKey();
    Spec spec = TakeSpec();
    if (spec.type == '%') return Add("%");
    switch (spec.type) {
      case 's':
      case 'r': {
        const Value& value = NextValue();
        if (spec.fill == "0") spec.fill = std::string(1, ' ');
        return Add(Padded(Shortened(spec.type == 's' ? Str(heap_, value) : Repr(heap_, value), spec), spec, '>'));
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        const Int value = IntOf(NextValue(), spec.type == 'u' || spec.type == 'i' ? 'd' : spec.type);
        return Add(Padded(IntDigits(value, spec), spec, '>'));
      }
      case 'f':
      case 'F':
      case 'e':
      case 'E':
      case 'g':
      case 'G':
        return Add(Padded(FloatDigits(FloatOf(NextValue()), spec), spec, '>'));
      default:
        throw Error(absl::StrCat("format: '%", std::string(1, spec.type), "' is not supported"));
    }
  }

  Heap& heap_;
  const std::string_view format_;
  const Value& values_;
  const Sequence* tuple_ = nullptr;
  std::optional<std::string> key_;
  size_t at_ = 0, next_ = 0;
  bool named_ = false;
  std::string out_;
};

bool IsAlign(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

// What stands behind ':' in a replacement field.
Spec ParseSpec(std::string_view text) {
  Spec spec;
  size_t at = 0;
  size_t behind_fill = 0;
  if (!text.empty()) NextChar(text, &behind_fill);
  if (behind_fill < text.size() && behind_fill > 0 && IsAlign(text[behind_fill])) {
    spec.fill = std::string(text.substr(0, behind_fill));
    spec.align = text[behind_fill];
    at = behind_fill + 1;
  } else if (!text.empty() && IsAlign(text[0])) {
    spec.align = text[at++];
  }
  auto take = [&](char c) { return at < text.size() && text[at] == c && ++at; };
  if (take('+'))
    spec.sign = '+';
  else if (take(' '))
    spec.sign = ' ';
  else
    take('-');
  spec.alternate = take('#');
  if (take('0') && spec.align == '\0') spec.align = '=', spec.fill = std::string(1, '0');
  spec.width = TakeNumber(text, &at, kMaxWidth, "width");
  spec.grouped = take(',');
  if (take('.')) spec.precision = static_cast<int>(TakeNumber(text, &at, kMaxPrecision, "precision"));
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) throw Error(absl::StrCat("format: invalid specifier '", std::string(text), "'"));
  return spec;
}

std::string FormatNumber(Heap& heap, const Value& value, Spec spec) {
  const bool is_integer = AsInt(value).has_value();
  if (spec.type == '\0' || spec.type == 'n') {
    if (is_integer) return Padded(IntDigits(*AsInt(value), spec), spec, '>');
    if (spec.precision || spec.grouped) throw Error("format: a float's specifier needs a type");
    return Padded(Signed(std::signbit(FloatOf(value)), spec, Str(heap, Value::Float(std::fabs(FloatOf(value))))), spec,
                  '>');
  }
  if (std::string_view("dxXob").find(spec.type) != std::string_view::npos) {
    if (!is_integer || spec.precision)
      throw Error(absl::StrCat("format: wrong code '", std::string(1, spec.type), "'"));
    return Padded(IntDigits(*AsInt(value), spec), spec, '>');
  }
  if (std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos) {
    return Padded(FloatDigits(FloatOf(value), spec), spec, '>');
  }
  throw Error(absl::StrCat("format: unknown code '", std::string(1, spec.type), "'"));
}

std::string FormatOne(Heap& heap, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return Str(heap, value);
  const Spec spec = ParseSpec(spec_text);
  const Text* text = value.text();
  if (text != nullptr) {
    if ((spec.type != '\0' && spec.type != 's') || spec.align == '=')
      throw Error("format: wrong specifier for a string");
    return Padded(Shortened(text->bytes, spec), spec, '<');
  }
  if (value.Is<Int>() || value.Is<double>()) return FormatNumber(heap, value, spec);
  throw Error(absl::StrCat("format: ", TypeName(value), " takes no specifier"));
}

bool IsAll(std::string_view text, bool (*test)(char)) {
  for (char c : text) {
    if (!test(c)) return false;
  }
  return true;
}

// Walks a str.format text and appends each of its fields.
class BraceFormatter {
 public:
  BraceFormatter(Heap& heap, std::string_view format, const std::vector<Value>& positional,
                 const std::vector<std::pair<std::string, Value>>& named)
      : heap_(heap), format_(format), positional_(positional), named_(named) {}

  std::string Run() {
    while (at_ < format_.size()) {
      const size_t brace = std::min(format_.find_first_of("{}", at_), format_.size());
      Add(format_.substr(at_, brace - at_));
      at_ = brace + 1;
      if (brace == format_.size()) break;
      if (at_ < format_.size() && format_[at_] == format_[brace]) {
        Add(format_.substr(at_++, 1));
      } else {
        AddField(TakeField(format_[brace]));
      }
    }
    return std::move(out_);
  }

 private:
  void Add(std::string_view piece) {
    heap_.CheckText(out_.size() + piece.size());
    heap_.Scan(piece.size() + 64);
    out_.append(piece);
  }

  std::string_view TakeField(char brace) {
    const size_t close = brace == '{' ? format_.find_first_of("{}", at_) : format_.npos;
    if (close == format_.npos || format_[close] == '{')
      throw Error("format: a brace without its match, or fields in fields");
    const std::string_view field = format_.substr(at_, close - at_);
    at_ = close + 1;
    return field;
  }

  // name!conversion:spec
  void AddField(std::string_view field) {
    const size_t name_end = std::min(field.find_first_of("!:"), field.size());
    const bool converts = name_end < field.size() && field[name_end] == '!';
    const size_t colon = std::min(field.find(':', name_end), field.size());
    const std::string_view conversion = converts ? field.substr(name_end + 1, colon - name_end - 1) : "";
    if (converts && conversion != "s" && conversion != "r") throw Error("format: unknown conversion");
    const Value& value = Find(field.substr(0, name_end));
    const std::string_view spec = colon < field.size() ? field.substr(colon + 1) : "";
    if (!converts) return Add(FormatOne(heap_, value, spec));
    Add(FormatOne(heap_, heap_.MakeText(conversion == "r" ? Repr(heap_, value) : Str(heap_, value)), spec));
  }

  const Value& Find(std::string_view name) {
    if (IsAll(name, IsDigit)) {
      if (name.size() > 9) throw Error("format: a place above 999999999");
      const size_t place = name.empty() ? next_++ : static_cast<size_t>(std::atoi(std::string(name).c_str()));
      if (place >= positional_.size()) throw Error("format: a place behind the last argument");
      return positional_[place];
    }
    for (const auto& [key, value] : named_) {
      heap_.Step();
      if (key == name) return value;
    }
    throw Error(
        absl::StrCat("format: no argument '", std::string(name), "' (attributes and subscripts are not supported)"));
  }

  Heap& heap_;
  const std::string_view format_;
  const std::vector<Value>& positional_;
  const std::vector<std::pair<std::string, Value>>& named_;
  size_t at_ = 0, next_ = 0;
  std::string out_;
};

}  // namespace

std::string FormatPercent(Heap& heap, std::string_view format, const Value& values) {
  return PercentFormatter(heap, format, values).Run();
}

std::string FormatBraces(Heap& heap, std::string_view format, const std::vector<Value>& positional,
                         const std::vector<std::pair<std::string, Value>>& named) {
  return BraceFormatter(heap, format, positional, named).Run();
}

std::string FormatTime(Heap& heap, std::string_view format, int64_t unix_time) {
  const time_t seconds = static_cast<time_t>(unix_time);
  tm moment{};
  if (gmtime_r(&seconds, &moment) == nullptr) throw Error("strftime_now: the time is out of range");
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    heap.CheckText(out.size() + 64);
    if (format[i] != '%') {
      out.push_back(format[i]);
      continue;
    }
    std::string directive = "%";
    if (i + 1 < format.size() && format[i + 1] == '-') directive += format[++i];
    const char letter = i + 1 < format.size() ? format[++i] : '\0';
    if (letter == '\0' ||
        std::string_view("aAwdbBmyYHIMSpjeTDFRcxXuVGUWZzsC%").find(letter) == std::string_view::npos) {
      throw Error(absl::StrCat("strftime_now: the directive '", directive, std::string(letter != '\0', letter),
                               "' is not supported"));
    }
    directive += letter;
    char text[64];
    out.append(text, std::strftime(text, sizeof text, directive.c_str(), &moment));
  }
  heap.Scan(out.size());
  return out;
}

}  // namespace braid::jinja
