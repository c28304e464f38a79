// UTF-8 and the character classes that splitters ask for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace braid {

// Bits of a character's class: general categories, and the properties splitters name.
using CharClass = uint16_t;
inline constexpr CharClass kUpper = 1 << 0;         // Lu, Lt
inline constexpr CharClass kLower = 1 << 1;         // Ll
inline constexpr CharClass kCaseless = 1 << 2;      // Lm, Lo
inline constexpr CharClass kMark = 1 << 3;          // Mn, Mc, Me
inline constexpr CharClass kNumber = 1 << 4;        // Nd, Nl, No
inline constexpr CharClass kSpace = 1 << 5;         // White_Space
inline constexpr CharClass kNewline = 1 << 6;       // \r and \n only
inline constexpr CharClass kPunctuation = 1 << 7;   // P*
inline constexpr CharClass kSymbol = 1 << 8;        // S*
inline constexpr CharClass kWord = 1 << 9;          // \w of Unicode regular expressions (UTS 18)
inline constexpr CharClass kAsciiSymbol = 1 << 10;  // S* below 128: punctuation to some splitters
inline constexpr CharClass kEnd = 1 << 11;          // no character: behind the end of the text
inline constexpr CharClass kLetter = kUpper | kLower | kCaseless;

// Class by code point in two stages; 256 code points a block, equal blocks stored once. Thread: any.
class CharClasses {
 public:
  // The one table of the process, built at the first call.
  static const CharClasses& Get();

  CharClass Of(char32_t c) const { return c < 0x110000 ? blocks_[(block_of_[c >> 8] << 8) | (c & 255)] : CharClass{0}; }

 private:
  CharClasses();
  uint16_t block_of_[0x1100];
  std::vector<CharClass> blocks_;
};

// One character of a text: its code point and its length in bytes (0 behind the end).
struct CodePoint {
  char32_t value;
  uint8_t length;
};

// Reads the character at `at` of well-formed UTF-8.
inline CodePoint ReadUtf8(std::string_view text, size_t at) {
  if (at >= text.size()) return {0, 0};
  const auto* p = reinterpret_cast<const uint8_t*>(text.data()) + at;
  if (p[0] < 0x80) return {p[0], 1};
  if (p[0] < 0xE0) return {static_cast<char32_t>((p[0] & 0x1F) << 6 | (p[1] & 0x3F)), 2};
  if (p[0] < 0xF0) return {static_cast<char32_t>((p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F)), 3};
  return {static_cast<char32_t>((p[0] & 7) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F)), 4};
}

// What lies at the front of bytes that should be UTF-8.
struct Utf8Front {
  enum Kind { kWhole, kBroken, kUnfinished } kind;  // kUnfinished: more bytes could make a character of it
  size_t length;                                    // of the character, or of the maximal ill-formed part
};

// Looks at the front of `bytes`, which must not be empty (Unicode 3.9, table 3-7 and "maximal subpart").
Utf8Front FrontOf(std::string_view bytes);

bool IsWellFormed(std::string_view bytes);

// Returns `bytes` with one U+FFFD for each maximal ill-formed part.
std::string RepairUtf8(std::string_view bytes);

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

}  // namespace braid
