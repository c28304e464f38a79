// SHA-256 (FIPS 180-4), for tests that compare long outputs by digest.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace braid {

namespace sha256 {

// The first 32 bits of the fractional part of `root`, the n-th root of a prime.
inline uint32_t Fraction(long double root) {
  return static_cast<uint32_t>((root - static_cast<long double>(static_cast<uint64_t>(root))) * 4294967296.0L);
}

struct Constants {
  std::array<uint32_t, 64> round{};
  std::array<uint32_t, 8> start{};
  Constants() {
    for (int found = 0, n = 2; found < 64; ++n) {
      bool prime = true;
      for (int d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
      if (!prime) continue;
      round[found] = Fraction(__builtin_cbrtl(n));
      if (found < 8) start[found] = Fraction(__builtin_sqrtl(n));
      ++found;
    }
  }
};

inline void AddBlock(const Constants& k, const uint8_t* block, std::array<uint32_t, 8>* state) {
  uint32_t w[64];
  for (int i = 0; i < 16; ++i) {
    w[i] = uint32_t{block[4 * i]} << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
  }
  for (int i = 16; i < 64; ++i) {
    const uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (std::rotr(a, 7) ^ std::rotr(a, 18) ^ a >> 3) +
           (std::rotr(b, 17) ^ std::rotr(b, 19) ^ b >> 10);
  }
  std::array<uint32_t, 8> s = *state;
  for (int i = 0; i < 64; ++i) {
    const uint32_t t1 = s[7] + (std::rotr(s[4], 6) ^ std::rotr(s[4], 11) ^ std::rotr(s[4], 25)) +
                        ((s[4] & s[5]) ^ (~s[4] & s[6])) + k.round[i] + w[i];
    const uint32_t t2 = (std::rotr(s[0], 2) ^ std::rotr(s[0], 13) ^ std::rotr(s[0], 22)) +
                        ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
  }
  for (int i = 0; i < 8; ++i) (*state)[i] += s[i];
}

}  // namespace sha256

// Returns the digest of `bytes` in lower-case hexadecimal.
inline std::string Sha256Hex(std::string_view bytes) {
  static const sha256::Constants kConstants;
  std::string padded(bytes);
  padded.push_back('\x80');
  while (padded.size() % 64 != 56) padded.push_back('\0');
  for (int shift = 56; shift >= 0; shift -= 8) padded.push_back(static_cast<char>(uint64_t{bytes.size()} * 8 >> shift));
  auto state = kConstants.start;
  for (size_t i = 0; i < padded.size(); i += 64) {
    sha256::AddBlock(kConstants, reinterpret_cast<const uint8_t*>(padded.data()) + i, &state);
  }
  std::string hex;
  for (const uint32_t word : state) {
    for (int shift = 28; shift >= 0; shift -= 4) hex.push_back("0123456789abcdef"[word >> shift & 15]);
  }
  return hex;
}

}  // namespace braid
