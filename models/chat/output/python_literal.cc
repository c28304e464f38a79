#include "models/chat/output/python_literal.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "kernels/base/utf8.h"
#include "models/chat/output/json_text.h"

namespace braid {
namespace {

constexpr int kMaxDepth = 64;
constexpr size_t kMaxDigits = 64;

// Recursive descent, at most kMaxDepth deep; each function reads one thing at `at_` and writes it to `json_`.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  std::optional<std::string> Read() {
    if (!Value(0)) return std::nullopt;
    SkipSpace();
    return at_ == text_.size() ? std::optional(std::move(json_)) : std::nullopt;
  }

 private:
  void SkipSpace() {
    while (at_ < text_.size() && IsWhiteSpace(text_[at_])) ++at_;
  }
  char Next() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool Take(std::string_view wanted) {
    if (text_.substr(at_, wanted.size()) != wanted) return false;
    at_ += wanted.size();
    return true;
  }

  bool Value(int depth) {
    SkipSpace();
    switch (Next()) {
      case '\'':
      case '"':
        return String();
      case '[':
        return Items(']', depth);
      case '(':
        return Items(')', depth);
      case '{':
        return Dict(depth);
      default:
        return absl::ascii_isalpha(Next()) ? Word() : NumberAsJson();
    }
  }

  bool Word() {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 6> kWords = {{{"True", "true"},
                                                                                      {"False", "false"},
                                                                                      {"None", "null"},
                                                                                      {"true", "true"},
                                                                                      {"false", "false"},
                                                                                      {"null", "null"}}};
    const size_t begin = at_;
    while (absl::ascii_isalnum(Next()) || Next() == '_') ++at_;
    for (const auto& [python, json] : kWords) {
      if (text_.substr(begin, at_ - begin) != python) continue;
      json_.append(json);
      return true;
    }
    return false;
  }

  std::string_view Digits() {
    const size_t begin = at_;
    while (absl::ascii_isdigit(Next())) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  bool NumberAsJson() {
    std::string number = Take("-") ? "-" : "";
    if (number.empty()) Take("+");
    const std::string_view whole = Digits();
    if (whole.size() > 1 && whole[0] == '0') return false;
    number.append(whole.empty() ? "0" : whole);
    const bool point = Take(".");
    const std::string_view fraction = point ? Digits() : std::string_view();
    if (whole.empty() && fraction.empty()) return false;
    if (point) number.append(".").append(fraction.empty() ? "0" : fraction);
    if (Take("e") || Take("E")) {
      number.append("e").append(Take("-") ? "-" : Take("+") ? "+" : "");
      const std::string_view exponent = Digits();
      if (exponent.empty()) return false;
      number.append(exponent);
    }
    double value = 0;
    if (number.size() > kMaxDigits || !absl::SimpleAtod(number, &value) || !std::isfinite(value)) return false;
    json_.append(number);
    return true;
  }

  bool String() {
    const std::string_view quote = text_.substr(at_, 1);
    const std::string triple(3, quote[0]);
    const std::string_view end = Take(triple) ? std::string_view(triple) : (++at_, quote);
    std::string content;
    while (!Take(end)) {
      if (at_ >= text_.size()) return false;
      if (!Take("\\")) {
        content.push_back(text_[at_++]);
      } else if (!Escape(&content)) {
        return false;
      }
    }
    json_.append(QuotedJson(content));
    return true;
  }

  bool Escape(std::string* content) {
    constexpr std::string_view kLetters = "nrtabfv0\\'\"", kMeanings("\n\r\t\a\b\f\v\0\\'\"", 11);
    if (at_ >= text_.size()) return false;
    const char letter = text_[at_++];
    if (const size_t which = kLetters.find(letter); which != std::string_view::npos) {
      content->push_back(kMeanings[which]);
      return true;
    }
    switch (letter) {
      case '\n':
        return true;
      case 'x':
        return CodePoint(2, content);
      case 'u':
        return CodePoint(4, content);
      case 'U':
        return CodePoint(8, content);
      default:
        content->append({'\\', letter});
        return true;  // Python keeps the backslash
    }
  }

  // A pair of surrogates counts as one code point; a single one is no text.
  bool CodePoint(int digits, std::string* content) {
    std::optional<uint32_t> code = Hex(digits);
    if (!code) return false;
    if (*code >= 0xD800 && *code < 0xDC00 && Take("\\u")) {
      const std::optional<uint32_t> low = Hex(4);
      if (!low || *low < 0xDC00 || *low > 0xDFFF) return false;
      code = 0x10000 + ((*code - 0xD800) << 10) + (*low - 0xDC00);
    }
    if (*code > 0x10FFFF || (*code >= 0xD800 && *code <= 0xDFFF)) return false;
    AppendUtf8(*code, content);
    return true;
  }

  std::optional<uint32_t> Hex(int digits) {
    uint32_t code = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      if (!absl::ascii_isxdigit(Next())) return std::nullopt;
      const char digit = absl::ascii_tolower(Next());
      code = code * 16 + (digit <= '9' ? digit - '0' : digit - 'a' + 10);
    }
    return code;
  }

  // What follows an item: its end or a comma, behind which the end may stand too.
  bool ItemsEnd(char close, bool* end) {
    SkipSpace();
    const bool comma = Take(",");
    SkipSpace();
    *end = Next() == close;
    if (*end) ++at_;
    return *end || comma;
  }

  bool Items(char close, int depth) {
    if (depth == kMaxDepth) return false;
    ++at_;
    SkipSpace();
    json_.push_back('[');
    bool end = Next() == close;
    if (end) ++at_;
    for (bool first = true; !end; first = false) {
      if (!first) json_.append(", ");
      if (!Value(depth + 1) || !ItemsEnd(close, &end)) return false;
    }
    json_.push_back(']');
    return true;
  }

  bool Key() {
    SkipSpace();
    if (Next() == '\'' || Next() == '"') return String();
    const std::string_view digits = Digits();
    if (digits.empty()) return false;
    json_.append(QuotedJson(digits));
    return true;
  }

  bool Dict(int depth) {
    if (depth == kMaxDepth) return false;
    ++at_;
    SkipSpace();
    json_.push_back('{');
    bool end = Next() == '}';
    if (end) ++at_;
    for (bool first = true; !end; first = false) {
      if (!first) json_.append(", ");
      if (!Key()) return false;
      SkipSpace();
      if (!Take(":")) return false;
      json_.append(": ");
      if (!Value(depth + 1) || !ItemsEnd('}', &end)) return false;
    }
    json_.push_back('}');
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string json_;
};

}  // namespace

std::optional<std::string> PythonLiteralToJson(std::string_view text) { return Reader(text).Read(); }

}  // namespace braid
