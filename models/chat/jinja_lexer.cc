#include "models/chat/jinja_lexer.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "kernels/base/utf8.h"
#include "models/chat/jinja_text.h"
#include "models/chat/jinja_value.h"

namespace braid::jinja {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool IsNamePart(char c) { return IsNameStart(c) || IsDigit(c); }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// Line ends become \n, and one at the very end goes.
std::string Normalized(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(Normalized(source)), text_(source_) {}

  std::vector<Token> Run() {
    while (at_ < text_.size()) LexOutside();
    Emit(TokenKind::kEnd, "end of template");
    return std::move(tokens_);
  }

 private:
  void Emit(TokenKind kind, std::string text) { tokens_.push_back({kind, std::move(text), line_}); }

  [[noreturn]] void Fail(const std::string& what) const { throw Error(absl::StrCat("line ", line_, ": ", what)); }

  bool At(std::string_view word) const { return text_.substr(at_, word.size()) == word; }

  void Advance(size_t bytes) {
    line_ += static_cast<int>(std::count(text_.begin() + at_, text_.begin() + at_ + bytes, '\n'));
    at_ += bytes;
  }

  void SkipSpace() {
    size_t next = at_;
    while (next < text_.size()) {
      size_t behind = next;
      if (!IsSpace(NextChar(text_, &behind))) break;
      next = behind;
    }
    Advance(next - at_);
  }

  // Passes the sign behind a tag's opening, if there is one.
  void TakeSign() {
    if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) Advance(1);
  }

  // The text before a tag, cut as the tag's sign and lstrip_blocks say. `starts_line`: the text's begin is a line's.
  static std::string_view CutBefore(std::string_view text, char sign, bool is_print, bool starts_line) {
    if (sign == '-') return Strip(text, Side::kRight);
    if (sign == '+' || is_print) return text;
    const size_t newline = text.rfind('\n');
    const size_t line = newline == text.npos ? 0 : newline + 1;
    const bool is_blank = Strip(text.substr(line), Side::kBoth).empty();
    return is_blank && (line > 0 || starts_line) ? text.substr(0, line) : text;
  }

  void EmitText(std::string_view text) {
    if (!text.empty()) Emit(TokenKind::kText, std::string(text));
  }

  // Text up to the next tag, and the tag.
  void LexOutside() {
    size_t tag = text_.size();
    for (size_t i = at_; i + 1 < text_.size() && tag == text_.size(); ++i) {
      if (text_[i] == '{' && (text_[i + 1] == '{' || text_[i + 1] == '%' || text_[i + 1] == '#')) tag = i;
    }
    const std::string_view before = text_.substr(at_, tag - at_);
    const bool starts_line = at_ == 0 || text_[at_ - 1] == '\n';
    if (tag == text_.size()) {
      EmitText(before);
      return Advance(before.size());
    }
    const char kind = text_[tag + 1];
    const char sign = tag + 2 < text_.size() ? text_[tag + 2] : '\0';
    EmitText(CutBefore(before, sign, kind == '{', starts_line));
    Advance(before.size() + 2);
    if (kind == '%' && LexRaw()) return;
    TakeSign();
    if (kind == '#') return SkipComment();
    LexInside(kind == '{');
  }

  // What ends a block tag or comment before byte `close`: -%} eats white space, %} one newline, +%} nothing.
  void PassBlockEnd(size_t close) {
    const char sign = close > at_ ? text_[close - 1] : '\0';
    Advance(close + 2 - at_);
    if (sign == '-') return SkipSpace();
    if (sign != '+' && at_ < text_.size() && text_[at_] == '\n') Advance(1);
  }

  void SkipComment() {
    const size_t close = text_.find("#}", at_);
    if (close == text_.npos) Fail("a comment that is not closed");
    PassBlockEnd(close);
  }

  // The byte behind `-? *word *` from `from`, npos when something else stands there.
  size_t MatchWord(size_t from, std::string_view word) const {
    size_t i = from;
    auto skip = [&] {
      while (i < text_.size() && (text_[i] == ' ' || (text_[i] >= '\t' && text_[i] <= '\r'))) ++i;
    };
    if (i < text_.size() && (text_[i] == '-' || text_[i] == '+')) ++i;
    skip();
    if (text_.substr(i, word.size()) != word) return text_.npos;
    i += word.size();
    skip();
    return i;
  }

  // {% raw %} up to {% endraw %}, from behind the first {%. False when the tag is another.
  bool LexRaw() {
    size_t open = MatchWord(at_, "raw");
    if (open == text_.npos) return false;
    const bool strips = text_.substr(open, 3) == "-%}";
    if (!strips && text_.substr(open, 2) != "%}") return false;
    Advance(open + (strips ? 3 : 2) - at_);
    if (strips) SkipSpace();
    for (size_t tag = text_.find("{%", at_); tag != text_.npos; tag = text_.find("{%", tag + 2)) {
      const size_t close = MatchWord(tag + 2, "endraw");
      if (close == text_.npos) continue;
      const bool has_sign = text_.substr(close, 1) == "-" || text_.substr(close, 1) == "+";
      if (text_.substr(close + has_sign, 2) != "%}") continue;
      const bool starts_line = at_ > 0 && text_[at_ - 1] == '\n';
      EmitText(CutBefore(text_.substr(at_, tag - at_), text_[tag + 2], /*is_print=*/false, starts_line));
      PassBlockEnd(close + has_sign);
      return true;
    }
    Fail("a raw block that is not closed");
  }

  // Tokens of one {{ }} or {% %}, from behind its opening and sign.
  void LexInside(bool is_print) {
    Emit(is_print ? TokenKind::kPrintBegin : TokenKind::kBlockBegin, is_print ? "begin of print statement" : "{%");
    const std::string_view end = is_print ? "}}" : "%}";
    std::string open;  // brackets not yet closed: inside them }} is no end
    while (true) {
      SkipSpace();
      if (at_ >= text_.size()) Fail(is_print ? "a {{ that is not closed" : "a {% that is not closed");
      if (open.empty() && TakeEnd(end, is_print)) return;
      LexToken(&open);
    }
  }

  bool TakeEnd(std::string_view end, bool is_print) {
    const bool has_sign = text_[at_] == '-' || (text_[at_] == '+' && !is_print);
    if (text_.substr(at_ + has_sign, 2) != end) return false;
    Emit(is_print ? TokenKind::kPrintEnd : TokenKind::kBlockEnd,
         is_print ? "end of print statement" : "end of statement block");
    const bool strips = text_[at_] == '-';
    if (!is_print) {
      PassBlockEnd(at_ + has_sign);
    } else {
      Advance(2 + has_sign);
      if (strips) SkipSpace();
    }
    return true;
  }

  void LexToken(std::string* open) {
    const char c = text_[at_];
    if (IsNameStart(c)) return LexName();
    if (IsDigit(c)) return LexNumber();
    if (c == '\'' || c == '"') return LexString(c);
    LexOperator(open);
  }

  void LexName() {
    size_t end = at_;
    while (end < text_.size() && IsNamePart(text_[end])) ++end;
    Emit(TokenKind::kName, std::string(text_.substr(at_, end - at_)));
    Advance(end - at_);
  }

  // Digits with single underscores between them, from byte i on; appended without the underscores.
  size_t TakeDigits(size_t i, bool (*is_digit)(char), std::string* digits) const {
    while (i < text_.size() &&
           (is_digit(text_[i]) || (text_[i] == '_' && i + 1 < text_.size() && is_digit(text_[i + 1])))) {
      if (text_[i] != '_') digits->push_back(text_[i]);
      ++i;
    }
    return i;
  }

  void LexNumber() {
    std::string digits;
    const char base = text_[at_] == '0' && at_ + 1 < text_.size() ? static_cast<char>(text_[at_ + 1] | 0x20) : '\0';
    if (base == 'x' || base == 'o' || base == 'b') {
      digits = {'0', base};
      const size_t end = TakeDigits(at_ + 2, base == 'x' ? IsHex : IsDigit, &digits);
      Emit(TokenKind::kInteger, digits);
      return Advance(end - at_);
    }
    size_t end = TakeDigits(at_, IsDigit, &digits);
    const bool after_dot = at_ > 0 && text_[at_ - 1] == '.';  // a.0.1 is two places, not a number
    bool is_float = false;
    if (!after_dot && end + 1 < text_.size() && text_[end] == '.' && IsDigit(text_[end + 1])) {
      digits.push_back('.');
      end = TakeDigits(end + 1, IsDigit, &digits);
      is_float = true;
    }
    if (!after_dot && end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
      size_t power = end + 1;
      const bool has_sign = power < text_.size() && (text_[power] == '-' || text_[power] == '+');
      if (power + has_sign < text_.size() && IsDigit(text_[power + has_sign])) {
        digits.push_back('e');
        if (has_sign) digits.push_back(text_[power]);
        end = TakeDigits(power + has_sign, IsDigit, &digits);
        is_float = true;
      }
    }
    if (digits.size() > 400) Fail("a number of more than 400 digits");
    Emit(is_float ? TokenKind::kFloat : TokenKind::kInteger, digits);
    Advance(end - at_);
  }

  void LexString(char quote) {
    std::string content;
    size_t i = at_ + 1;
    while (i < text_.size() && text_[i] != quote) {
      if (text_[i] == '\\' && i + 1 < text_.size()) {
        i = TakeEscape(i + 1, &content);
      } else {
        content.push_back(text_[i++]);
      }
    }
    if (i >= text_.size()) Fail("a string that is not closed");
    Emit(TokenKind::kString, std::move(content));
    Advance(i + 1 - at_);
  }

  // Appends what the escape at byte i, behind the backslash, stands for; returns the byte behind it.
  size_t TakeEscape(size_t i, std::string* out) const {
    static constexpr std::string_view kLetters = "ntr\\'\"abfv", kMeanings = "\n\t\r\\'\"\a\b\f\v";
    const char c = text_[i];
    if (const size_t place = kLetters.find(c); place != kLetters.npos) {
      out->push_back(kMeanings[place]);
      return i + 1;
    }
    if (c == '\n') return i + 1;
    if (c >= '0' && c <= '7') return TakeCode(i, 3, 8, /*exact=*/false, out);
    if (c == 'x') return TakeCode(i + 1, 2, 16, /*exact=*/true, out);
    if (c == 'u') return TakeCode(i + 1, 4, 16, /*exact=*/true, out);
    if (c == 'U') return TakeCode(i + 1, 8, 16, /*exact=*/true, out);
    if (c == 'N') Fail("\\N{...} in a string is not supported");
    out->push_back('\\');  // no escape: the backslash stays
    out->push_back(c);
    return i + 1;
  }

  size_t TakeCode(size_t i, size_t max_digits, uint32_t base, bool exact, std::string* out) const {
    uint64_t code = 0;
    size_t digits = 0;
    for (; digits < max_digits && i < text_.size() && IsHex(text_[i]); ++digits, ++i) {
      const uint32_t digit = IsDigit(text_[i]) ? text_[i] - '0' : (text_[i] | 0x20) - 'a' + 10;
      if (digit >= base) break;
      code = code * base + digit;
    }
    if (exact && digits < max_digits) Fail("a truncated \\ escape in a string");
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) Fail("a \\ escape that is no character");
    AppendUtf8(static_cast<char32_t>(code), out);
    return i;
  }

  void LexOperator(std::string* open) {
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                      "=",  ">",  "<",  ".",  ":",  "|",  ",", ";"};
    for (std::string_view word : kOperators) {
      if (!At(word)) continue;
      Balance(word[0], open);
      Emit(TokenKind::kOperator, std::string(word));
      return Advance(word.size());
    }
    Fail(absl::StrCat("unexpected character '", std::string(1, text_[at_]), "'"));
  }

  void Balance(char c, std::string* open) const {
    static constexpr std::string_view kOpening = "([{", kClosing = ")]}";
    if (kOpening.find(c) != kOpening.npos) open->push_back(c);
    const size_t closing = kClosing.find(c);
    if (closing == kClosing.npos) return;
    if (open->empty() || open->back() != kOpening[closing]) Fail(absl::StrCat("unexpected '", std::string(1, c), "'"));
    open->pop_back();
  }

  const std::string source_;
  const std::string_view text_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> Lex(std::string_view source) { return Lexer(source).Run(); }

}  // namespace braid::jinja
