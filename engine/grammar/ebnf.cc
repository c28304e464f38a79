// EBNF as llama.cpp's GBNF has it, to grammar.
#include <algorithm>
#include <map>
#include <optional>

#include "engine/grammar/code_points.h"
#include "engine/grammar/grammar_sources.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxNodes = 1 << 20;
constexpr int kMaxDepth = 100;
constexpr int kMaxCount = 100'000;
constexpr int64_t kMaxSize = 1'000'000;  // parts of one rule, counts written out
constexpr uint32_t kEndOfText = kMaxCodePoint + 1;

bool IsNameChar(uint32_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

int HexValue(uint32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A' + 10);
  return -1;
}

// A node and how many parts it has with its counts written out.
struct Part {
  int32_t node;
  int64_t size;
};

class EbnfParser {
 public:
  explicit EbnfParser(std::vector<uint32_t> text) : text_(std::move(text)) {}

  absl::StatusOr<Grammar> Parse() {
    RuleOf("root");
    for (SkipSpace(); Peek() != kEndOfText; SkipSpace()) RETURN_IF_ERROR(ParseRule());
    for (const auto& [name, rule] : rules_) {
      if (rule.defined) continue;
      if (name == "root") return absl::InvalidArgumentError("EBNF: no rule is called root: want `root ::= ...`");
      return absl::InvalidArgumentError(absl::StrCat("EBNF: line ", rule.line, ": rule ", name, " is not defined"));
    }
    Grammar grammar = builder_.Take();
    if (grammar.nodes[grammar.rules[0]].kind == GrammarNode::Kind::kNothing) {
      return absl::InvalidArgumentError("EBNF: rule root leads back to itself without end: it matches no text");
    }
    return grammar;
  }

 private:
  struct RuleEntry {
    int32_t id;
    int line;  // of the first mention
    bool defined = false;
  };

  uint32_t Peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : kEndOfText; }
  void Advance() {
    if (Peek() == '\n') ++line_;
    ++at_;
  }
  bool Take(uint32_t c) {
    if (Peek() != c) return false;
    Advance();
    return true;
  }

  absl::Status Error(const std::string& what) const {
    return absl::InvalidArgumentError(absl::StrCat("EBNF: line ", line_, ": ", what));
  }

  void SkipSpace() {
    for (;; Advance()) {
      if (Peek() == '#') {
        while (Peek() != '\n' && Peek() != kEndOfText) ++at_;
      }
      if (Peek() != ' ' && Peek() != '\t' && Peek() != '\r' && Peek() != '\n') return;
    }
  }

  std::string TakeName() {
    std::string name;
    for (; IsNameChar(Peek()); ++at_) name += static_cast<char>(Peek());
    return name;
  }

  RuleEntry& RuleOf(const std::string& name) {
    const auto [at, is_new] = rules_.try_emplace(name, RuleEntry{0, line_});
    if (is_new) at->second.id = builder_.NewRule();
    return at->second;
  }

  // `name ::=` stands here: the rule before ends.
  bool AtRule() {
    const size_t at = at_;
    const int line = line_;
    TakeName();
    SkipSpace();
    const bool rule = at_ > at && Peek() == ':' && Peek(1) == ':' && Peek(2) == '=';
    at_ = at;
    line_ = line;
    return rule;
  }

  absl::Status ParseRule() {
    if (!AtRule()) return Error("want `name ::= ...`");
    const std::string name = TakeName();
    RuleEntry& rule = RuleOf(name);
    if (rule.defined) return Error("rule " + name + " is defined twice");
    rule.defined = true;
    const int32_t id = rule.id;
    SkipSpace();
    at_ += 3;
    ASSIGN_OR_RETURN(const Part body, Alternatives(0));
    builder_.Define(id, body.node);
    if (Peek() == ')') return Error("')' without its '('");
    if (builder_.num_nodes() > kMaxNodes) return Error("the grammar is too large");
    return absl::OkStatus();
  }

  absl::StatusOr<Part> Alternatives(int depth) {
    if (depth > kMaxDepth) return Error(absl::StrCat("groups nested more than ", kMaxDepth, " deep"));
    std::vector<int32_t> ways;
    int64_t size = 1;
    do {
      ASSIGN_OR_RETURN(const Part way, Sequence(depth));
      ways.push_back(way.node);
      size += way.size;
      SkipSpace();
    } while (Take('|'));
    return Part{builder_.Choice(std::move(ways)), size};
  }

  absl::StatusOr<Part> Sequence(int depth) {
    std::vector<int32_t> parts;
    int64_t size = 0;
    for (SkipSpace(); !AtEndOfSequence(); SkipSpace()) {
      ASSIGN_OR_RETURN(Part part, Item(depth));
      ASSIGN_OR_RETURN(part, Repeated(part));
      parts.push_back(part.node);
      size += part.size;
    }
    return Part{builder_.Sequence(std::move(parts)), size};
  }

  bool AtEndOfSequence() {
    return Peek() == kEndOfText || Peek() == '|' || Peek() == ')' || (IsNameChar(Peek()) && AtRule());
  }

  absl::StatusOr<Part> Item(int depth) {
    if (Peek() == '"') return Text();
    if (Peek() == '[') return Class();
    if (Take('.')) return Part{builder_.Chars(AllCodePoints()), 1};
    if (Take('(')) {
      const int line = line_;
      ASSIGN_OR_RETURN(const Part group, Alternatives(depth + 1));
      if (!Take(')')) return Error(absl::StrCat("the group opened on line ", line, " is not closed: ')' is missing"));
      return group;
    }
    if (!IsNameChar(Peek())) {
      return Error("want \"text\", [class], '.', (group) or the name of a rule, not '" + Utf8(Peek()) + "'");
    }
    return Part{builder_.Rule(RuleOf(TakeName()).id), 1};
  }

  absl::StatusOr<Part> Text() {
    Advance();
    std::string text;
    while (!Take('"')) {
      if (Peek() == kEndOfText || Peek() == '\n') return Error("a text is not closed: '\"' is missing");
      ASSIGN_OR_RETURN(const uint32_t point, Char());
      text += Utf8(point);
    }
    return Part{builder_.Literal(text), static_cast<int64_t>(text.size()) + 1};
  }

  absl::StatusOr<Part> Class() {
    Advance();
    const bool negated = Take('^');
    CodePoints points;
    while (!Take(']')) {
      if (Peek() == kEndOfText || Peek() == '\n') return Error("a class is not closed: ']' is missing");
      ASSIGN_OR_RETURN(const uint32_t first, Char());
      uint32_t last = first;
      if (Peek() == '-' && Peek(1) != ']' && Peek(1) != kEndOfText) {
        ++at_;
        ASSIGN_OR_RETURN(last, Char());
      }
      if (last < first) return Error("a range of a class is out of order");
      points.emplace_back(first, last);
    }
    points = Normal(std::move(points));
    return Part{builder_.Chars(negated ? Complement(points) : points), 1};
  }

  absl::StatusOr<uint32_t> Char() {
    const uint32_t c = Peek();
    Advance();
    if (c != '\\') return c;
    const uint32_t escape = Peek();
    Advance();
    switch (escape) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'x':
        return Hex(2);
      case 'u':
        return Hex(4);
      case 'U':
        return Hex(8);
      case '\\':
      case '"':
      case '\'':
      case '[':
      case ']':
      case '^':
      case '-':
      case '/':
        return escape;
      default:
        return Error("unknown escape: want \\n \\t \\r \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH or \\UHHHHHHHH");
    }
  }

  absl::StatusOr<uint32_t> Hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const int digit = HexValue(Peek());
      if (digit < 0) return Error(absl::StrCat("an escape wants ", digits, " hexadecimal digits"));
      value = value << 4 | static_cast<uint32_t>(digit);
    }
    if (value > kMaxCodePoint || (value >= 0xD800 && value <= 0xDFFF)) return Error("no such code point");
    return value;
  }

  absl::StatusOr<Part> Repeated(Part part) {
    for (;;) {  // ("a"*)+ may be written "a"*+
      int min = 0, max = -1;
      if (Take('*')) {
      } else if (Take('+')) {
        min = 1;
      } else if (Take('?')) {
        max = 1;
      } else if (Take('{')) {
        RETURN_IF_ERROR(Counts(&min, &max));
      } else {
        return part;
      }
      part.size = part.size * std::max({min, max, 1}) + 1;
      if (part.size > kMaxSize) return Error(absl::StrCat("the counts multiply to more than ", kMaxSize, " parts"));
      part.node = builder_.Repeat(part.node, min, max);
    }
  }

  absl::StatusOr<int> Count() {
    SkipSpace();
    if (Peek() < '0' || Peek() > '9') return Error("want a count: {m}, {m,} or {m,n}");
    int64_t count = 0;
    for (; Peek() >= '0' && Peek() <= '9'; ++at_) count = std::min<int64_t>(count * 10 + (Peek() - '0'), kMaxCount + 1);
    if (count > kMaxCount) return Error(absl::StrCat("a count of more than ", kMaxCount));
    SkipSpace();
    return static_cast<int>(count);
  }

  absl::Status Counts(int* min, int* max) {
    ASSIGN_OR_RETURN(*min, Count());
    *max = *min;
    if (Take(',')) {
      SkipSpace();
      *max = -1;
      if (Peek() != '}') {
        ASSIGN_OR_RETURN(*max, Count());
      }
    }
    if (!Take('}')) return Error("want a count: {m}, {m,} or {m,n}");
    if (*max >= 0 && *max < *min) return Error(absl::StrCat("the counts {", *min, ",", *max, "} are out of order"));
    return absl::OkStatus();
  }

  const std::vector<uint32_t> text_;
  size_t at_ = 0;
  int line_ = 1;
  GrammarBuilder builder_;
  std::map<std::string, RuleEntry> rules_;
};

}  // namespace

absl::StatusOr<Grammar> EbnfGrammar(std::string_view source) {
  if (source.size() > kMaxBytes)
    return absl::InvalidArgumentError(absl::StrCat("EBNF: of more than ", kMaxBytes, " bytes"));
  auto text = CodePointsOf(source);
  if (!text) return absl::InvalidArgumentError("EBNF: not UTF-8");
  return EbnfParser(*std::move(text)).Parse();
}

}  // namespace braid
