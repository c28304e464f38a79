#include "engine/grammar/json_text.h"

#include <algorithm>

#include "engine/grammar/decimal.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int kMaxSpace = 20;
constexpr int kMaxSharedDepth = 64;

const CodePoints kUnescaped = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0xD7FF}, {0xE000, kMaxCodePoint}};

// The letter that stands for `c` behind a backslash; 0: none does.
char ShortEscape(uint32_t c) {
  switch (c) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

std::string LongEscape(uint32_t c, const char* digits = "0123456789abcdef") {
  return std::string("\\u00") + digits[c >> 4] + digits[c & 15];
}

// What is behind the first `at` bytes, which are alike, of one of `texts`, which are sorted.
int32_t Branches(std::span<const std::string> texts, size_t at, int depth, GrammarBuilder* builder) {
  const std::string& first = texts.front();
  const std::string& last = texts.back();
  size_t alike = at;
  while (alike < first.size() && alike < last.size() && first[alike] == last[alike]) ++alike;
  const int32_t head = builder->Literal(std::string_view(first).substr(at, alike - at));
  std::vector<int32_t> ways;
  for (size_t i = 0; i < texts.size();) {
    size_t end = i + 1;
    const auto same = [&](const std::string& text) {
      return alike < texts[i].size() && alike < text.size() && text[alike] == texts[i][alike];
    };
    while (end < texts.size() && depth < kMaxSharedDepth && same(texts[end])) ++end;
    ways.push_back(end == i + 1 ? builder->Literal(std::string_view(texts[i]).substr(std::min(alike, texts[i].size())))
                                : Branches(texts.subspan(i, end - i), alike, depth + 1, builder));
    i = end;
  }
  return builder->Sequence({head, builder->Choice(std::move(ways))});
}

}  // namespace

JsonText::JsonText(GrammarBuilder* builder, const JsonGrammarOptions& options)
    : builder_(*builder), space_(options.space) {}

int32_t JsonText::Shared(int32_t* node, int32_t (JsonText::*make)()) {
  if (*node < 0) {
    const int32_t rule = builder_.NewRule();
    *node = builder_.Rule(rule);  // may be asked for again while it is made
    builder_.Define(rule, (this->*make)());
  }
  return *node;
}

int32_t JsonText::Bytes(std::string_view bytes) {
  ByteSet set;
  for (const char byte : bytes) set.set(static_cast<uint8_t>(byte));
  return builder_.Bytes(set);
}

int32_t JsonText::Space() {
  if (space_node_ < 0) {
    space_node_ = space_ == JsonSpace::kFlexible ? builder_.Repeat(Bytes(" \t\n\r"), 0, kMaxSpace) : builder_.Empty();
  }
  return space_node_;
}

int32_t JsonText::Gap() {
  if (gap_node_ < 0) gap_node_ = space_ == JsonSpace::kOneSpace ? builder_.Literal(" ") : Space();
  return gap_node_;
}

int32_t JsonText::Comma() { return builder_.Sequence({builder_.Literal(","), Gap()}); }
int32_t JsonText::Colon() { return builder_.Sequence({builder_.Literal(":"), Gap()}); }

int32_t JsonText::Bracketed(Brackets brackets, int32_t body, Emptiness emptiness) {
  const bool object = brackets == Brackets::kObject;
  const int32_t close = builder_.Literal(object ? "}" : "]");
  const int32_t filled = builder_.Sequence({body, Space(), close});
  const int32_t rest = emptiness == Emptiness::kMayBeEmpty ? builder_.Choice({filled, close}) : filled;
  return builder_.Sequence({builder_.Literal(object ? "{" : "["), Space(), rest});
}

int32_t JsonText::Null() {
  if (null_ < 0) null_ = builder_.Literal("null");
  return null_;
}

int32_t JsonText::Boolean() {
  if (boolean_ < 0) boolean_ = builder_.Choice({builder_.Literal("true"), builder_.Literal("false")});
  return boolean_;
}

int32_t JsonText::Integer() { return Shared(&integer_, &JsonText::MakeInteger); }
int32_t JsonText::Number() { return Shared(&number_, &JsonText::MakeNumber); }
int32_t JsonText::NotNegativeNumber() { return Shared(&not_negative_, &JsonText::MakeNotNegative); }
int32_t JsonText::Any() { return Shared(&any_, &JsonText::MakeAny); }
int32_t JsonText::AnyObject() { return Shared(&any_object_, &JsonText::MakeAnyObject); }
int32_t JsonText::AnyArray() { return Shared(&any_array_, &JsonText::MakeAnyArray); }

int32_t JsonText::Digits(bool negative) {
  const int32_t more = builder_.Repeat(Bytes("0123456789"), 0, -1);
  const int32_t whole = builder_.Choice({builder_.Literal("0"), builder_.Sequence({Bytes("123456789"), more})});
  if (!negative) return whole;
  return builder_.Sequence({builder_.Repeat(builder_.Literal("-"), 0, 1), whole});
}

int32_t JsonText::MakeInteger() { return Digits(true); }

int32_t JsonText::MakeNotNegative() {
  const int32_t digits = builder_.Repeat(Bytes("0123456789"), 1, -1);
  const int32_t fraction = builder_.Sequence({builder_.Literal("."), digits});
  const int32_t exponent = builder_.Sequence({Bytes("eE"), builder_.Repeat(Bytes("+-"), 0, 1), digits});
  return builder_.Sequence({Digits(false), builder_.Repeat(fraction, 0, 1), builder_.Repeat(exponent, 0, 1)});
}

int32_t JsonText::MakeNumber() {
  return builder_.Sequence({builder_.Repeat(builder_.Literal("-"), 0, 1), NotNegativeNumber()});
}

int32_t JsonText::MakeAny() {
  return builder_.Choice({String(0, -1), Number(), Boolean(), Null(), AnyObject(), AnyArray()});
}

int32_t JsonText::MakeAnyObject() {
  const int32_t member = builder_.Sequence({String(0, -1), Colon(), Any()});
  const int32_t more = builder_.Repeat(builder_.Sequence({Comma(), member}), 0, -1);
  return Bracketed(Brackets::kObject, builder_.Sequence({member, more}), Emptiness::kMayBeEmpty);
}

int32_t JsonText::MakeAnyArray() {
  const int32_t more = builder_.Repeat(builder_.Sequence({Comma(), Any()}), 0, -1);
  return Bracketed(Brackets::kArray, builder_.Sequence({Any(), more}), Emptiness::kMayBeEmpty);
}

int32_t JsonText::Escape() {
  const int32_t hex = Bytes("0123456789abcdefABCDEF");
  const auto unicode = [&](int32_t second, int32_t first) {
    return builder_.Sequence({builder_.Literal("\\u"), first, second, hex, hex});
  };
  const int32_t any_but_d = Bytes("0123456789abcefABCEF");
  const int32_t single = builder_.Choice({unicode(hex, any_but_d), unicode(Bytes("01234567"), Bytes("dD"))});
  const int32_t pair =
      builder_.Sequence({unicode(Bytes("89abAB"), Bytes("dD")), unicode(Bytes("cdefCDEF"), Bytes("dD"))});
  const int32_t brief = builder_.Sequence({builder_.Literal("\\"), Bytes("\"\\/bfnrt")});
  return builder_.Choice({brief, single, pair});
}

int32_t JsonText::AnyChar() {
  if (any_char_ < 0) any_char_ = builder_.Choice({builder_.Chars(kUnescaped), Escape()});
  return any_char_;
}

int32_t JsonText::MakeAnyString() {
  const int32_t quote = builder_.Literal("\"");
  return builder_.Sequence({quote, builder_.Repeat(AnyChar(), 0, -1), quote});
}

int32_t JsonText::String(int64_t least, int64_t most) {
  if (least == 0 && most < 0) return Shared(&any_string_, &JsonText::MakeAnyString);
  const int32_t quote = builder_.Literal("\"");
  const int32_t chars = builder_.Repeat(AnyChar(), static_cast<int32_t>(least), static_cast<int32_t>(most));
  return builder_.Sequence({quote, chars, quote});
}

std::string JsonText::Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const char letter = ShortEscape(static_cast<uint8_t>(c));
    if (letter != 0) {
      quoted += {'\\', letter};
    } else if (static_cast<uint8_t>(c) < 0x20) {
      quoted += LongEscape(static_cast<uint8_t>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

int32_t JsonText::StringLiteral(std::string_view text) { return builder_.Literal(Quoted(text)); }

int32_t JsonText::NumberValue(const Json& value) {
  std::vector<int32_t> ways = {builder_.Literal(value.dump())};
  const auto exact = DecimalOf(value);
  if (value.is_number_float() && exact && exact->whole.size() < 30) ways.push_back(builder_.Literal(exact->Text()));
  return builder_.Choice(std::move(ways));
}

int32_t JsonText::Value(const Json& value) {
  if (value.is_string()) return StringLiteral(value.get_ref<const std::string&>());
  if (value.is_number()) return NumberValue(value);
  if (!value.is_structured()) return builder_.Literal(value.dump());
  std::vector<int32_t> parts;
  for (auto member = value.begin(); member != value.end(); ++member) {
    if (!parts.empty()) parts.push_back(Comma());
    if (value.is_object()) parts.insert(parts.end(), {StringLiteral(member.key()), Colon()});
    parts.push_back(Value(*member));
  }
  const Brackets brackets = value.is_object() ? Brackets::kObject : Brackets::kArray;
  if (!parts.empty()) return Bracketed(brackets, builder_.Sequence(std::move(parts)), Emptiness::kNever);
  return Bracketed(brackets, builder_.Nothing(), Emptiness::kMayBeEmpty);
}

int32_t JsonText::OneOf(std::vector<std::string> texts) {
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  if (texts.empty()) return builder_.Nothing();
  return Branches(texts, 0, 0, &builder_);
}

int32_t JsonText::Chars(const CodePoints& points) {
  std::vector<int32_t> ways = {builder_.Chars(Intersection(points, kUnescaped))};
  std::vector<std::string> escapes;
  for (uint32_t c = 0; c <= '\\'; ++c) {
    if (Contains(kUnescaped, c) || !Contains(points, c)) continue;
    if (const char letter = ShortEscape(c)) escapes.push_back({'\\', letter});
    escapes.push_back(LongEscape(c));
    escapes.push_back(LongEscape(c, "0123456789ABCDEF"));
  }
  if (!escapes.empty()) ways.push_back(OneOf(std::move(escapes)));
  return builder_.Choice(std::move(ways));
}

CharSpelling JsonText::Spelling() {
  return [this](const CodePoints& points) { return Chars(points); };
}

}  // namespace braid
