#include "models/chat/jinja_text.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "kernels/base/utf8.h"
#include "models/chat/unicode_table_data.h"

namespace braid::jinja {
namespace {

bool IsContinuation(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// The span or run that holds c, null when none does. Both kinds are sorted and have first and last.
template <class Row>
const Row* RowOf(std::span<const Row> rows, char32_t c) {
  auto after = std::upper_bound(rows.begin(), rows.end(), c, [](char32_t x, const Row& row) { return x < row.first; });
  if (after == rows.begin()) return nullptr;
  const Row& row = *std::prev(after);
  return c <= row.last ? &row : nullptr;
}

bool IsCased(char32_t c) { return RowOf(kUnicodeTable.cased, c) != nullptr; }

bool AppendSpecial(std::span<const CaseSpecial> rows, char32_t c, std::string* out) {
  auto row = std::lower_bound(rows.begin(), rows.end(), c, [](const CaseSpecial& r, char32_t x) { return r.from < x; });
  if (row == rows.end() || row->from != c) return false;
  for (uint32_t to : row->to) {
    if (to != 0) AppendUtf8(to, out);
  }
  return true;
}

void AppendMapped(std::span<const CaseRun> runs, char32_t c, std::string* out) {
  const CaseRun* run = RowOf(runs, c);
  const bool maps = run != nullptr && (c - run->first) % run->stride == 0;
  AppendUtf8(maps ? c + run->delta : c, out);
}

void AppendUpper(char32_t c, std::string* out) {
  if (!AppendSpecial(kUnicodeTable.upper_specials, c, out)) AppendMapped(kUnicodeTable.upper_runs, c, out);
}

void AppendTitle(char32_t c, std::string* out) {
  if (!AppendSpecial(kUnicodeTable.title_specials, c, out)) AppendUpper(c, out);
}

// Lower case of the character before byte `next`. Sigma at the end of a word has a form of its own.
void AppendLower(std::string_view text, char32_t c, size_t next, bool after_cased, std::string* out) {
  if (c == 0x3A3 && after_cased) {
    size_t at = next;
    const bool before_cased = at < text.size() && IsCased(NextChar(text, &at));
    return AppendUtf8(before_cased ? 0x3C3 : 0x3C2, out);
  }
  if (!AppendSpecial(kUnicodeTable.lower_specials, c, out)) AppendMapped(kUnicodeTable.lower_runs, c, out);
}

bool IsLineEnd(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

size_t PreviousChar(std::string_view text, size_t at) {
  do {
    --at;
  } while (at > 0 && IsContinuation(text[at]));
  return at;
}

std::vector<std::string_view> SplitAtSpace(std::string_view text, int64_t max_splits) {
  std::vector<std::string_view> words;
  std::string_view rest = Strip(text, Side::kLeft);
  while (!rest.empty()) {
    if (max_splits >= 0 && static_cast<int64_t>(words.size()) >= max_splits) {
      words.push_back(Strip(rest, Side::kRight));
      break;
    }
    size_t end = 0;
    for (size_t next = 0; next < rest.size() && !IsSpace(NextChar(rest, &next));) end = next;
    words.push_back(rest.substr(0, end));
    rest = Strip(rest.substr(end), Side::kLeft);
  }
  return words;
}

size_t FindLast(std::string_view text, std::string_view needle) {
  // Few templates split from the right, so all places are walked from the left: linear, like Find.
  size_t last = std::string_view::npos;
  for (size_t at = Find(text, needle); at != std::string_view::npos; at = Find(text, needle, at + 1)) last = at;
  return last;
}

}  // namespace

bool IsWellFormed(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = text[i];
    const size_t length = c < 0x80                ? 1
                          : c >= 0xC2 && c < 0xE0 ? 2
                          : c >= 0xE0 && c < 0xF0 ? 3
                          : c >= 0xF0 && c < 0xF5 ? 4
                                                  : 0;
    if (length == 0 || i + length > text.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      if (!IsContinuation(text[i + k])) return false;
    }
    size_t at = i;
    const char32_t code = NextChar(text, &at);
    if ((length == 3 && (code < 0x800 || (code >= 0xD800 && code < 0xE000))) ||
        (length == 4 && (code < 0x10000 || code > 0x10FFFF))) {
      return false;
    }
    i += length;
  }
  return true;
}

size_t CountChars(std::string_view text) {
  size_t chars = 0;
  for (char c : text) chars += !IsContinuation(c);
  return chars;
}

char32_t NextChar(std::string_view text, size_t* at) {
  const unsigned char c = text[*at];
  const size_t length = std::min<size_t>(c < 0x80 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4, text.size() - *at);
  char32_t code = length == 1 ? c : c & (0x7F >> length);
  for (size_t k = 1; k < length; ++k) code = code << 6 | (static_cast<unsigned char>(text[*at + k]) & 0x3F);
  *at += length;
  return code;
}

size_t ByteOfChar(std::string_view text, size_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (IsContinuation(text[at])) continue;
    if (index == 0) return at;
    --index;
  }
  return at;
}

bool IsSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsPrintable(char32_t c) { return RowOf(kUnicodeTable.unprintable, c) == nullptr; }

std::string_view Strip(std::string_view text, Side side, std::optional<std::string_view> chars) {
  std::unordered_set<char32_t> set;
  for (size_t at = 0; chars && at < chars->size();) set.insert(NextChar(*chars, &at));
  auto goes = [&](char32_t c) { return chars ? set.count(c) > 0 : IsSpace(c); };
  while (side != Side::kRight && !text.empty()) {
    size_t next = 0;
    if (!goes(NextChar(text, &next))) break;
    text.remove_prefix(next);
  }
  while (side != Side::kLeft && !text.empty()) {
    const size_t last = PreviousChar(text, text.size());
    size_t next = last;
    if (!goes(NextChar(text, &next))) break;
    text = text.substr(0, last);
  }
  return text;
}

std::string Lower(std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = NextChar(text, &at);
    AppendLower(text, c, at, after_cased, &out);
    after_cased = IsCased(c);
  }
  return out;
}

std::string Upper(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) AppendUpper(NextChar(text, &at), &out);
  return out;
}

std::string Title(std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = NextChar(text, &at);
    if (after_cased) {
      AppendLower(text, c, at, after_cased, &out);
    } else {
      AppendTitle(c, &out);
    }
    after_cased = IsCased(c);
  }
  return out;
}

std::string Capitalize(std::string_view text) {
  std::string out;
  bool after_cased = false;
  for (size_t at = 0; at < text.size();) {
    const bool is_first = at == 0;
    const char32_t c = NextChar(text, &at);
    if (is_first) {
      AppendTitle(c, &out);
    } else {
      AppendLower(text, c, at, after_cased, &out);
    }
    after_cased = IsCased(c);
  }
  return out;
}

size_t Find(std::string_view text, std::string_view needle, size_t from) {
  if (from > text.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const void* found = memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
  return found == nullptr ? std::string_view::npos : static_cast<const char*>(found) - text.data();
}

size_t Count(std::string_view text, std::string_view needle) {
  if (needle.empty()) return CountChars(text) + 1;
  size_t count = 0;
  for (size_t at = Find(text, needle); at != std::string_view::npos; at = Find(text, needle, at + needle.size())) {
    ++count;
  }
  return count;
}

std::vector<std::string_view> Split(std::string_view text, std::optional<std::string_view> separator,
                                    int64_t max_splits) {
  if (!separator) return SplitAtSpace(text, max_splits);
  std::vector<std::string_view> parts;
  size_t begin = 0;
  while (max_splits < 0 || static_cast<int64_t>(parts.size()) < max_splits) {
    const size_t end = Find(text, *separator, begin);
    if (end == std::string_view::npos) break;
    parts.push_back(text.substr(begin, end - begin));
    begin = end + separator->size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<std::string_view> SplitFromRight(std::string_view text, std::optional<std::string_view> separator,
                                             int64_t max_splits) {
  if (max_splits < 0) return Split(text, separator, max_splits);
  std::vector<std::string_view> parts;
  std::string_view rest = separator ? text : Strip(text, Side::kRight);
  while (static_cast<int64_t>(parts.size()) < std::min<int64_t>(max_splits, 64)) {  // each cut walks the whole text
    size_t begin, end;
    if (separator) {
      end = FindLast(rest, *separator);
      if (end == std::string_view::npos) break;
      begin = end + separator->size();
    } else {
      begin = rest.size();
      while (begin > 0) {
        size_t before = PreviousChar(rest, begin), next = before;
        if (IsSpace(NextChar(rest, &next))) break;
        begin = before;
      }
      if (begin == 0) break;
      end = Strip(rest.substr(0, begin), Side::kRight).size();
    }
    parts.push_back(rest.substr(begin));
    rest = rest.substr(0, end);
  }
  if (separator || !rest.empty()) parts.push_back(rest);
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<std::string_view> SplitLines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t at = 0, begin = 0; at < text.size();) {
    const size_t end = at;
    const char32_t c = NextChar(text, &at);
    if (IsLineEnd(c)) {
      lines.push_back(text.substr(begin, end - begin));
      if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
      begin = at;
    } else if (at == text.size()) {
      lines.push_back(text.substr(begin));
    }
  }
  return lines;
}

std::string EscapeHtml(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&#34;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace braid::jinja
