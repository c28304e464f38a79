#include "server/openai/json_text.h"

#include <charconv>

namespace braid {
namespace {

// Bytes of the well-formed UTF-8 character at `text[at]`, which is not ASCII; 0 when it is ill-formed (Unicode, table 3-7).
size_t CharacterBytes(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
  const auto follows = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const unsigned first = byte(0), second = byte(1);
  if (first >= 0xc2 && first <= 0xdf) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (first == 0xe0 && second < 0xa0) return 0;
    if (first == 0xed && second > 0x9f) return 0;
    return follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (first == 0xf0 && second < 0x90) return 0;
    if (first == 0xf4 && second > 0x8f) return 0;
    return follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

void AppendEscape(unsigned char c, std::string* out) {
  switch (c) {
    case '"': out->append("\\\""); return;
    case '\\': out->append("\\\\"); return;
    case '\n': out->append("\\n"); return;
    case '\r': out->append("\\r"); return;
    case '\t': out->append("\\t"); return;
    default: {
      constexpr char kHex[] = "0123456789abcdef";
      out->append("\\u00").append(1, kHex[c >> 4]).append(1, kHex[c & 15]);
    }
  }
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  size_t plain = 0;  // begin of the run that needs no escape
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    size_t bytes = 1;
    if (c >= 0x80) bytes = CharacterBytes(text, i);
    if (bytes != 0 && c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) {
      i += bytes;
      continue;
    }
    out->append(text.substr(plain, i - plain));
    if (bytes == 0) {
      out->append("\xef\xbf\xbd");
    } else {
      AppendEscape(c, out);
    }
    plain = ++i;
  }
  out->append(text.substr(plain));
  out->push_back('"');
}

void AppendJsonInt(int64_t value, std::string* out) {
  char digits[24];
  out->append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

void AppendLogprob(float value, std::string* out) {
  if (!(value > -9999.0f)) value = -9999.0f;  // NaN too
  if (value > 0) value = 0;
  char digits[48];
  out->append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

}  // namespace braid
