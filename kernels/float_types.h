// bf16 and fp16 to and from f32 on the host, rounding to nearest even; the 8- and 4-bit floats of scales and weights to
// f32. E4M3 is the flavour without infinities: bias 7, largest 448, NaN 0x7f and 0xff. E8M0 is a power of two with bias
// 127, NaN 0xff. E2M1 has the magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6.   OCP Microscaling Formats 1.0
#pragma once

#include <bit>
#include <cstdint>

namespace braid {

struct Bf16 {
  uint16_t bits;
};
struct F16 {
  uint16_t bits;
};

inline float ToFloat(float x) { return x; }
inline float ToFloat(Bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline float ToFloat(F16 x) {
  const uint32_t sign = (x.bits & 0x8000u) << 16, exponent = (x.bits >> 10) & 31, mantissa = x.bits & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

inline Bf16 ToBf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>(bits >> 16 | 64)};  // NaN stays NaN
  return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}

inline F16 ToF16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00)};
  if (magnitude >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00)};  // rounds past 65504
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 aligns the mantissa to 2^-24, rounding as it goes
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3f000000u))};
  }
  const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1);
  return {static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13)};
}

struct E4m3 {
  uint8_t bits;
};
struct E8m0 {
  uint8_t bits;
};
struct E2m1 {
  uint8_t bits;  // the low four
};

inline bool IsNan(E4m3 x) { return (x.bits & 0x7f) == 0x7f; }
inline bool IsNan(E8m0 x) { return x.bits == 0xff; }

inline float ToFloat(E4m3 x) {
  if (IsNan(x)) return std::bit_cast<float>(0x7fc00000u);
  // f16's bits of the value times 2^-8: its exponent has bias 15 and the same subnormals.
  const uint32_t half = (x.bits & 0x80u) << 8 | (x.bits & 0x7fu) << 7;
  return ToFloat(F16{static_cast<uint16_t>(half)}) * 256.0f;
}

inline float ToFloat(E8m0 x) {
  if (IsNan(x)) return std::bit_cast<float>(0x7fc00000u);
  return std::bit_cast<float>(x.bits == 0 ? 0x00400000u : uint32_t{x.bits} << 23);
}

// Twice the value: a whole number.
inline constexpr int8_t kE2m1Doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
inline float ToFloat(E2m1 x) { return 0.5f * kE2m1Doubled[x.bits & 15]; }

}  // namespace braid
