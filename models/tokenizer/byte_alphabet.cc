#include "models/tokenizer/byte_alphabet.h"

#include <array>

#include "kernels/base/utf8.h"
#include "models/tokenizer/unicode.h"

namespace braid {
namespace {

constexpr int kFirstStandIn = 256;  // bytes without a printable character of their own are written from here on
constexpr int kLastStandIn = 323;

constexpr bool StandsForItself(int b) { return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174; }

constexpr std::array<uint16_t, 256> kLetterOfByte = [] {
  std::array<uint16_t, 256> letters{};
  int next = kFirstStandIn;
  for (int b = 0; b < 256; ++b) letters[b] = static_cast<uint16_t>(StandsForItself(b) ? b : next++);
  return letters;
}();

constexpr std::array<int16_t, kLastStandIn + 1> kByteOfLetter = [] {
  std::array<int16_t, kLastStandIn + 1> bytes{};
  for (auto& b : bytes) b = -1;
  for (int b = 0; b < 256; ++b) bytes[kLetterOfByte[b]] = static_cast<int16_t>(b);
  return bytes;
}();

}  // namespace

std::string ToByteAlphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char b : bytes) AppendUtf8(kLetterOfByte[static_cast<uint8_t>(b)], &out);
  return out;
}

std::optional<std::string> FromByteAlphabet(std::string_view letters) {
  std::string out;
  for (size_t i = 0; i < letters.size();) {
    const CodePoint c = ReadUtf8(letters, i);
    if (c.value > kLastStandIn || kByteOfLetter[c.value] < 0) return std::nullopt;
    out.push_back(static_cast<char>(kByteOfLetter[c.value]));
    i += c.length;
  }
  return out;
}

}  // namespace braid
