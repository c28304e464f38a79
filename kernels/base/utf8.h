// One code point to UTF-8.
#pragma once

#include <cstdint>
#include <string>

namespace braid {

// Appends the one to four bytes of `point`, at most U+10FFFF. Surrogates get three bytes, as in WTF-8.
inline void AppendUtf8(char32_t point, std::string* text) {
  if (point < 0x80) return text->push_back(static_cast<char>(point));
  const int trailing = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  const uint32_t mark = trailing == 1 ? 0xC0 : trailing == 2 ? 0xE0 : 0xF0;
  text->push_back(static_cast<char>(mark | point >> (6 * trailing)));
  for (int i = trailing - 1; i >= 0; --i) text->push_back(static_cast<char>(0x80 | (point >> (6 * i) & 0x3F)));
}

}  // namespace braid
