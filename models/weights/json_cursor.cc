#include "models/weights/json_cursor.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/json.h"

namespace braid {
namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

bool JsonCursor::Fail(std::string_view what) {
  if (error_.empty()) error_ = absl::StrCat("at byte ", position_, ": ", std::string(what));
  return false;
}

void JsonCursor::SkipSpace() {
  while (position_ < text_.size() && std::string_view(" \t\r\n").find(text_[position_]) != std::string_view::npos) {
    ++position_;
  }
}

bool JsonCursor::Next(char wanted) {
  SkipSpace();
  if (position_ >= text_.size() || text_[position_] != wanted) return false;
  ++position_;
  return true;
}

bool JsonCursor::Expect(char wanted) {
  return Next(wanted) || Fail(absl::StrCat("want '", std::string(1, wanted), "'"));
}

bool JsonCursor::Open(char bracket) {
  if (!Expect(bracket)) return false;
  return ++depth_ <= kMaxDepth || Fail("nested too deeply");
}

bool JsonCursor::Object(absl::FunctionRef<bool(const std::string&)> member) {
  if (!Open('{')) return false;
  if (!Next('}')) {
    std::string name;
    do {
      if (!Text(&name) || !Expect(':') || !member(name)) return Fail("a member that cannot be read");
    } while (Next(','));
    if (!Expect('}')) return false;
  }
  --depth_;
  return true;
}

bool JsonCursor::Array(absl::FunctionRef<bool()> element) {
  if (!Open('[')) return false;
  if (!Next(']')) {
    do {
      if (!element()) return Fail("an element that cannot be read");
    } while (Next(','));
    if (!Expect(']')) return false;
  }
  --depth_;
  return true;
}

bool JsonCursor::Scalar(std::string_view* word) {
  SkipSpace();
  const size_t end = std::min(text_.find_first_of(",:[]{}\" \t\r\n", position_), text_.size());
  *word = text_.substr(position_, end - position_);
  if (word->empty() || word->size() > 64) return Fail("want a value");
  position_ = end;
  return true;
}

bool JsonCursor::Unsigned(uint64_t* value) {
  std::string_view word;
  if (!Scalar(&word)) return false;
  const bool digits = std::all_of(word.begin(), word.end(), [](char c) { return c >= '0' && c <= '9'; });
  const bool leading_zero = word.size() > 1 && word[0] == '0';
  if (!digits || leading_zero || !absl::SimpleAtoi(std::string(word), value))
    return Fail("want an integer from 0 to 2^64 - 1");
  return true;
}

bool JsonCursor::RawText(std::string_view* quoted) {
  if (!Expect('"')) return false;
  const size_t begin = position_ - 1;
  for (; position_ < text_.size(); ++position_) {
    const char c = text_[position_];
    if (c == '"') {
      *quoted = text_.substr(begin, ++position_ - begin);
      return true;
    }
    if (static_cast<unsigned char>(c) < 0x20) return Fail("a control character in a string");
    if (c == '\\') ++position_;
  }
  position_ = std::min(position_, text_.size());
  return Fail("a string without end");
}

bool JsonCursor::Text(std::string* value) {
  std::string_view quoted;
  if (!RawText(&quoted)) return false;
  if (quoted.size() > kMaxTextBytes + 2) return Fail(absl::StrCat("a string of more than ", kMaxTextBytes, " bytes"));
  const auto plain = [](char c) { return c != '\\' && static_cast<unsigned char>(c) < 0x80; };
  if (std::all_of(quoted.begin(), quoted.end(), plain)) {
    *value = quoted.substr(1, quoted.size() - 2);
  } else {
    auto parsed = ParseJson(quoted);  // escapes and UTF-8
    if (!parsed.ok() || !parsed->is_string()) return Fail("an ill-formed string");
    *value = parsed->get<std::string>();
  }
  return std::none_of(value->begin(), value->end(), IsControl) || Fail("a control character in a string");
}

bool JsonCursor::Skip() {
  SkipSpace();
  const char first = position_ < text_.size() ? text_[position_] : '\0';
  std::string_view word;
  switch (first) {
    case '{':
      return Object([&](const std::string&) { return Skip(); });
    case '[':
      return Array([&] { return Skip(); });
    case '"':
      return RawText(&word);
    default:
      return Scalar(&word) && (ParseJson(word).ok() || Fail("want a value"));
  }
}

bool JsonCursor::End() {
  SkipSpace();
  return position_ == text_.size() || Fail("something after the document");
}

}  // namespace braid
