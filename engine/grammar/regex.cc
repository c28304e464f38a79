#include "engine/grammar/regex.h"

#include <algorithm>
#include <optional>
#include <string>

#include "kernels/base/errors.h"

namespace braid {
namespace {

using Kind = RegexNode::Kind;

constexpr int kMaxDepth = 100;
constexpr int kMaxCount = 100'000;
constexpr uint32_t kEndOfPattern = kMaxCodePoint + 1;

const CodePoints kDigits = {{'0', '9'}};
const CodePoints kWord = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
const CodePoints kSpace = {{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                           {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const CodePoints kLineEnds = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

struct Flags {
  bool ignore_case = false;  // of ASCII letters
  bool dot_all = false;
};

// The letters of ASCII in both cases where one of them is there.
CodePoints BothCases(CodePoints points) {
  CodePoints other;
  for (uint32_t letter = 'a'; letter <= 'z'; ++letter) {
    if (Contains(points, letter)) other.emplace_back(letter - 32, letter - 32);
    if (Contains(points, letter - 32)) other.emplace_back(letter, letter);
  }
  return Union(std::move(points), other);
}

int HexValue(uint32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A' + 10);
  return -1;
}

bool IsAsciiLetterOrDigit(uint32_t c) { return c < 0x80 && c != '_' && Contains(kWord, c); }

class Parser {
 public:
  explicit Parser(std::vector<uint32_t> pattern) : pattern_(std::move(pattern)) {}

  absl::StatusOr<Regex> Parse() {
    ASSIGN_OR_RETURN(regex_.root, Alternatives(Flags{}, 0));
    if (Peek() == ')') return Error("')' without its '('");
    return std::move(regex_);
  }

 private:
  uint32_t Peek(size_t ahead = 0) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : kEndOfPattern;
  }
  bool Take(uint32_t c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  bool TakeText(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      if (Peek(i) != static_cast<uint8_t>(text[i])) return false;
    }
    at_ += text.size();
    return true;
  }

  absl::Status Error(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("regular expression: column ", at_ + 1, ": ", what));
  }

  int Add(RegexNode node, int64_t size) {
    regex_.nodes.push_back(std::move(node));
    sizes_.push_back(size);
    return static_cast<int>(regex_.nodes.size() - 1);
  }
  int AddChars(CodePoints chars) { return Add({.kind = Kind::kChars, .chars = std::move(chars)}, 1); }
  int AddOf(Kind kind, std::vector<int> children) {
    if (children.empty()) return Add({.kind = Kind::kEmpty}, 1);
    if (children.size() == 1) return children[0];
    int64_t size = 1;
    for (const int child : children) size += sizes_[child];
    return Add({.kind = kind, .children = std::move(children)}, size);
  }

  absl::StatusOr<int> Alternatives(Flags flags, int depth) {
    if (depth > kMaxDepth) return Error(absl::StrCat("groups nested more than ", kMaxDepth, " deep"));
    std::vector<int> ways;
    do {
      ASSIGN_OR_RETURN(const int way, Sequence(&flags, depth));
      ways.push_back(way);
    } while (Take('|'));
    return AddOf(Kind::kChoice, std::move(ways));
  }

  // `flags` may be changed by (?i) for what follows in the same group.
  absl::StatusOr<int> Sequence(Flags* flags, int depth) {
    std::vector<int> parts;
    while (Peek() != kEndOfPattern && Peek() != '|' && Peek() != ')') {
      ASSIGN_OR_RETURN(int part, Atom(flags, depth));
      ASSIGN_OR_RETURN(part, Quantified(part));
      parts.push_back(part);
    }
    return AddOf(Kind::kSequence, std::move(parts));
  }

  absl::StatusOr<int> Atom(Flags* flags, int depth) {
    const uint32_t c = Peek();
    switch (c) {
      case '(':
        return Group(flags, depth);
      case '[':
        return Class(*flags);
      case '\\':
        return EscapedAtom(*flags);
      case '*':
      case '+':
      case '?':
        return Error("nothing to repeat");
      case '^':
        ++at_;
        return Add({.kind = Kind::kStart}, 1);
      case '$':
        ++at_;
        return Add({.kind = Kind::kEnd}, 1);
      case '.':
        ++at_;
        return AddChars(flags->dot_all ? AllCodePoints() : Complement(kLineEnds));
      default:
        break;
    }
    if (c == '{' && IsCount()) return Error("nothing to repeat");
    ++at_;
    return AddChars(Cased({{c, c}}, *flags));
  }

  static CodePoints Cased(CodePoints points, const Flags& flags) {
    return flags.ignore_case ? BothCases(std::move(points)) : points;
  }

  absl::StatusOr<int> Group(Flags* flags, int depth) {
    ++at_;
    Flags inner = *flags;
    if (Take('?')) {
      ASSIGN_OR_RETURN(const bool has_body, GroupHead(flags, &inner));
      if (!has_body) return Add({.kind = Kind::kEmpty}, 1);
    }
    ASSIGN_OR_RETURN(const int body, Alternatives(inner, depth + 1));
    if (!Take(')')) return Error("a group is not closed: ')' is missing");
    return body;
  }

  // After "(?". False: the group ends here and matches nothing by itself.
  absl::StatusOr<bool> GroupHead(Flags* flags, Flags* inner) {
    if (TakeText(":")) return true;
    if (TakeText("=") || TakeText("!")) return Error("lookahead is not regular and not supported");
    if (TakeText("<=") || TakeText("<!")) return Error("lookbehind is not regular and not supported");
    if (TakeText("P=")) return Error("back references are not regular and not supported");
    if (TakeText(">")) return Error("atomic groups are not supported");
    if (TakeText("(")) return Error("conditional groups are not supported");
    if (TakeText("P<") || TakeText("<")) return GroupName();
    if (Take('#')) return Comment();
    return InlineFlags(flags, inner);
  }

  absl::StatusOr<bool> GroupName() {
    const size_t start = at_;
    while (Peek() < 0x80 && Contains(kWord, Peek())) ++at_;
    if (at_ == start || !Take('>')) return Error("a group's name is letters, digits and _, closed by '>'");
    return true;
  }

  absl::StatusOr<bool> Comment() {
    while (Peek() != kEndOfPattern && Peek() != ')') ++at_;
    if (!Take(')')) return Error("a comment is not closed: ')' is missing");
    return false;
  }

  // "(?i)", "(?is-i:".
  absl::StatusOr<bool> InlineFlags(Flags* flags, Flags* inner) {
    bool on = true;
    for (;; ++at_) {
      const uint32_t c = Peek();
      if (c == 'i') {
        inner->ignore_case = on;
      } else if (c == 's') {
        inner->dot_all = on;
      } else if (c == '-' && on) {
        on = false;
      } else if (c != 'a' && c != 'u') {
        break;
      }
    }
    if (Take(':')) return true;
    if (!Take(')')) return Error("of the group flags i, s, a and u are supported");
    *flags = *inner;
    return false;
  }

  // "{2}", "{2,}" or "{2,3}" starts here; "{,3}" too (Python's reading).
  bool IsCount() const {
    size_t i = 1;
    const auto digits = [&] {
      const size_t start = i;
      while (Peek(i) >= '0' && Peek(i) <= '9') ++i;
      return i > start;
    };
    const bool least = digits();
    if (Peek(i) == '}') return least;
    if (Peek(i) != ',') return false;
    ++i;
    const bool most = digits();
    return Peek(i) == '}' && (least || most);
  }

  absl::StatusOr<int> Count() {
    int64_t count = 0;
    while (Peek() >= '0' && Peek() <= '9') {
      count = std::min<int64_t>(count * 10 + (Peek() - '0'), kMaxCount + 1);
      ++at_;
    }
    if (count > kMaxCount) return Error(absl::StrCat("a count of more than ", kMaxCount));
    return static_cast<int>(count);
  }

  absl::StatusOr<int> Quantified(int atom) {
    int min = 0, max = -1;
    if (Take('*')) {
    } else if (Take('+')) {
      min = 1;
    } else if (Take('?')) {
      max = 1;
    } else if (Peek() == '{' && IsCount()) {
      RETURN_IF_ERROR(Counts(&min, &max));
    } else {
      return atom;
    }
    Take('?');  // lazy: the same texts
    if (Peek() == '+') return Error("possessive quantifiers are not supported");
    if (Peek() == '*' || Peek() == '?' || (Peek() == '{' && IsCount())) return Error("nothing to repeat");
    const Kind kind = regex_.nodes[atom].kind;
    if (kind == Kind::kStart || kind == Kind::kEnd) return Error("an anchor cannot be repeated");
    const int64_t size = sizes_[atom] * std::max({min, max, 1}) + 1;
    if (size > kMaxRegexSize) return Error(absl::StrCat("the counts multiply to more than ", kMaxRegexSize, " parts"));
    return Add({.kind = Kind::kRepeat, .children = {atom}, .min = min, .max = max}, size);
  }

  absl::Status Counts(int* min, int* max) {
    ++at_;
    if (Peek() == ',') return Error("{,n} is read in two ways: write {0,n}");
    ASSIGN_OR_RETURN(*min, Count());
    *max = *min;
    if (Take(',')) {
      *max = -1;
      if (Peek() != '}') {
        ASSIGN_OR_RETURN(*max, Count());
      }
    }
    if (*max >= 0 && *max < *min) return Error(absl::StrCat("the counts {", *min, ",", *max, "} are out of order"));
    ++at_;
    return absl::OkStatus();
  }

  absl::StatusOr<int> EscapedAtom(const Flags& flags) {
    const uint32_t c = Peek(1);
    if (c == 'b' || c == 'B') return Error("word boundaries (\\b, \\B) are not supported");
    if (c == 'A') return at_ += 2, Add({.kind = Kind::kStart}, 1);
    if (c == 'Z' || c == 'z') return at_ += 2, Add({.kind = Kind::kEnd}, 1);
    ASSIGN_OR_RETURN(CodePoints points, Escape());
    return AddChars(Cased(std::move(points), flags));
  }

  // A backslash and what belongs to it, as a set: \d, \n, \u00e9, \., ...
  absl::StatusOr<CodePoints> Escape() {
    const uint32_t c = Peek(1);
    if (c >= '1' && c <= '9') return Error("back references are not regular and not supported");
    if (c == 'k') return Error("back references (\\k) are not regular and not supported");
    if (c == 'p' || c == 'P') return Error("Unicode properties (\\p, \\P) are not supported: write the ranges");
    if (const CodePoints* set = EscapedSet(c)) {
      at_ += 2;
      return c == 'D' || c == 'W' || c == 'S' ? Complement(*set) : *set;
    }
    ASSIGN_OR_RETURN(const uint32_t point, EscapedChar());
    return CodePoints{{point, point}};
  }

  static const CodePoints* EscapedSet(uint32_t c) {
    switch (c) {
      case 'd':
      case 'D':
        return &kDigits;
      case 'w':
      case 'W':
        return &kWord;
      case 's':
      case 'S':
        return &kSpace;
      default:
        return nullptr;
    }
  }

  absl::StatusOr<uint32_t> EscapedChar() {
    ++at_;
    const uint32_t c = Peek();
    if (c == kEndOfPattern) return Error("a backslash at the end");
    ++at_;
    switch (c) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 'f':
        return '\f';
      case 'v':
        return '\v';
      case 'x':
        return Hex(2);
      case 'U':
        return Hex(8);
      case 'u':
        return UnicodeEscape();
      case 'c':
        return ControlEscape();
      case '0':
        if (Peek() >= '0' && Peek() <= '9') return Error("octal escapes are not supported: write \\xHH");
        return 0;
      default:
        break;
    }
    if (IsAsciiLetterOrDigit(c)) return Error(absl::StrCat("unknown escape \\", Utf8(c)));
    return c;
  }

  absl::StatusOr<uint32_t> ControlEscape() {
    const uint32_t letter = Peek() | 0x20;
    if (letter < 'a' || letter > 'z') return Error("\\c wants a letter");
    ++at_;
    return letter & 0x1F;
  }

  absl::StatusOr<uint32_t> Hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const int digit = HexValue(Peek());
      if (digit < 0) return Error(absl::StrCat("an escape wants ", digits, " hexadecimal digits"));
      value = value << 4 | static_cast<uint32_t>(digit);
    }
    if (value > kMaxCodePoint) return Error("no such code point");
    return value;
  }

  // After "\u": four digits, a pair of surrogates written \uD83D\uDE42, or {1F642}.
  absl::StatusOr<uint32_t> UnicodeEscape() {
    if (Take('{')) return BracedHex();
    ASSIGN_OR_RETURN(const uint32_t first, Hex(4));
    if (first < 0xD800 || first > 0xDFFF) return first;
    if (first > 0xDBFF || !TakeText("\\u")) return Error("half a pair of surrogates");
    ASSIGN_OR_RETURN(const uint32_t second, Hex(4));
    if (second < 0xDC00 || second > 0xDFFF) return Error("half a pair of surrogates");
    return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
  }

  absl::StatusOr<uint32_t> BracedHex() {
    uint32_t value = 0;
    const size_t start = at_;
    for (; HexValue(Peek()) >= 0 && at_ - start < 6; ++at_)
      value = value << 4 | static_cast<uint32_t>(HexValue(Peek()));
    if (at_ == start || !Take('}') || value > kMaxCodePoint) return Error("\\u{...} wants 1 to 6 hexadecimal digits");
    return value;
  }

  absl::StatusOr<int> Class(const Flags& flags) {
    ++at_;
    const bool negated = Take('^');
    if (Peek() == ']') return Error("']' at the start of a class is read in two ways: write \\]");
    CodePoints points;
    while (!Take(']')) {
      ASSIGN_OR_RETURN(const CodePoints part, ClassRange());
      points.insert(points.end(), part.begin(), part.end());
    }
    points = Cased(Normal(std::move(points)), flags);
    return AddChars(negated ? Complement(points) : points);
  }

  absl::StatusOr<CodePoints> ClassRange() {
    ASSIGN_OR_RETURN(CodePoints first, ClassItem());
    if (Peek() != '-' || Peek(1) == ']') return first;
    ++at_;
    ASSIGN_OR_RETURN(const CodePoints last, ClassItem());
    const auto is_one = [](const CodePoints& set) { return set.size() == 1 && set[0].first == set[0].second; };
    if (!is_one(first) || !is_one(last)) {  // [\w-.]: the minus is itself
      first.emplace_back('-', '-');
      return Union(std::move(first), last);
    }
    if (first[0].first > last[0].first) return Error("a range of a class is out of order");
    return CodePoints{{first[0].first, last[0].first}};
  }

  absl::StatusOr<CodePoints> ClassItem() {
    const uint32_t c = Peek();
    if (c == kEndOfPattern) return Error("a class is not closed: ']' is missing");
    if (c == '\\' && Peek(1) == 'b') {
      at_ += 2;
      return CodePoints{{'\b', '\b'}};
    }
    if (c == '\\') return Escape();
    ++at_;
    return CodePoints{{c, c}};
  }

  const std::vector<uint32_t> pattern_;
  size_t at_ = 0;
  Regex regex_;
  std::vector<int64_t> sizes_;  // by node, counts written out
};

}  // namespace

absl::StatusOr<Regex> ParseRegex(std::string_view pattern) {
  if (pattern.size() > kMaxRegexBytes) {
    return absl::InvalidArgumentError(absl::StrCat("regular expression: of more than ", kMaxRegexBytes, " bytes"));
  }
  auto points = CodePointsOf(pattern);
  if (!points) return absl::InvalidArgumentError("regular expression: not UTF-8");
  return Parser(*std::move(points)).Parse();
}

}  // namespace braid
