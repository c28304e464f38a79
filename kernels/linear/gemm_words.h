// One register of output rows, and the integer dot products of block formats on it. Private to gemm_cpu.cc.
// Lanes are independent and integers exact, so the width of a register does not show in the bits.
#pragma once

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {

#if BRAID_ISA_LEVEL >= 2

inline constexpr int kWidth = 16;
using Floats = __m512;
using Codes = __m512i;

BRAID_WORD Floats ZeroFloats() { return _mm512_setzero_ps(); }
BRAID_WORD Floats Broadcast(float x) { return _mm512_set1_ps(x); }
BRAID_WORD Floats LoadFloats(const float* p) { return _mm512_loadu_ps(p); }
BRAID_WORD void StoreFloats(float* p, Floats a) { _mm512_storeu_ps(p, a); }
BRAID_WORD Floats MulFloats(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
BRAID_WORD Floats FmaFloats(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
BRAID_WORD Floats WidenF16(const uint16_t* p) { return LoadF16(p).v; }
BRAID_WORD Floats WidenBf16(const uint16_t* p) { return LoadBf16(p).v; }

BRAID_WORD Codes LoadCodes(const void* p) { return _mm512_loadu_si512(p); }
BRAID_WORD Codes LowHalves(Codes a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
BRAID_WORD Codes HighHalves(Codes a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(15)); }

// Sixteen integral floats as bytes.
BRAID_WORD void StoreCodes(int8_t* p, V16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a.v)));
}

#else

inline constexpr int kWidth = 8;
using Floats = __m256;
using Codes = __m256i;

BRAID_WORD Floats ZeroFloats() { return _mm256_setzero_ps(); }
BRAID_WORD Floats Broadcast(float x) { return _mm256_set1_ps(x); }
BRAID_WORD Floats LoadFloats(const float* p) { return _mm256_loadu_ps(p); }
BRAID_WORD void StoreFloats(float* p, Floats a) { _mm256_storeu_ps(p, a); }
BRAID_WORD Floats MulFloats(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
BRAID_WORD Floats FmaFloats(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
BRAID_WORD Floats WidenF16(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

BRAID_WORD Codes LoadCodes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
BRAID_WORD Codes LowHalves(Codes a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
BRAID_WORD Codes HighHalves(Codes a) { return _mm256_and_si256(_mm256_srli_epi16(a, 4), _mm256_set1_epi8(15)); }

// Eight integral floats as 16-bit integers.
BRAID_WORD __m128i ToWords(__m256 a) {
  const __m256i wide = _mm256_cvtps_epi32(a);
  return _mm_packs_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}
// Sixteen integral floats as bytes.
BRAID_WORD void StoreCodes(int8_t* p, V16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(ToWords(a.lo), ToWords(a.hi)));
}

#endif

#if BRAID_ISA_LEVEL >= 2
BRAID_WORD Codes OrCodes(Codes a, Codes b) { return _mm512_or_si512(a, b); }
// Bits of each byte, `kLeft` further left (right when negative), of which those of `mask` stay.
template <int kLeft>
BRAID_WORD Codes MoveBits(Codes a, int mask) {
  if constexpr (kLeft > 0) a = _mm512_slli_epi16(a, kLeft);
  if constexpr (kLeft < 0) a = _mm512_srli_epi16(a, -kLeft);
  return _mm512_and_si512(a, _mm512_set1_epi8(static_cast<char>(mask)));
}
// table[code] of codes below 16.
BRAID_WORD Codes LookUp(const uint8_t* table, Codes a) {
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(table))), a);
}
BRAID_WORD __m128i LoadScales(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
BRAID_WORD Codes LanesOf(__m128i a) { return _mm512_cvtepu8_epi32(a); }
BRAID_WORD Floats WidenU8(__m128i a) { return _mm512_cvtepi32_ps(LanesOf(a)); }
BRAID_WORD Floats WidenI8(__m128i a) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(a)); }
// 2^-8 times the value: f16 has the bits of E4M3 seven places up, with a bias greater by 8.
BRAID_WORD Floats WidenE4m3(const uint8_t* p) {
  const __m256i words = _mm256_slli_epi16(_mm256_cvtepi8_epi16(LoadScales(p)), 7);
  return _mm512_cvtph_ps(_mm256_and_si256(words, _mm256_set1_epi16(static_cast<int16_t>(0xbf80))));
}
BRAID_WORD Floats WidenE8m0(const uint8_t* p) {
  const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu8_epi32(LoadScales(p)), 23);
  return _mm512_castsi512_ps(_mm512_max_epi32(bits, _mm512_set1_epi32(0x00400000)));
}
#else
BRAID_WORD Codes OrCodes(Codes a, Codes b) { return _mm256_or_si256(a, b); }
// Bits of each byte, `kLeft` further left (right when negative), of which those of `mask` stay.
template <int kLeft>
BRAID_WORD Codes MoveBits(Codes a, int mask) {
  if constexpr (kLeft > 0) a = _mm256_slli_epi16(a, kLeft);
  if constexpr (kLeft < 0) a = _mm256_srli_epi16(a, -kLeft);
  return _mm256_and_si256(a, _mm256_set1_epi8(static_cast<char>(mask)));
}
// table[code] of codes below 16.
BRAID_WORD Codes LookUp(const uint8_t* table, Codes a) {
  return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(table))), a);
}
BRAID_WORD __m128i LoadScales(const uint8_t* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
BRAID_WORD Codes LanesOf(__m128i a) { return _mm256_cvtepu8_epi32(a); }
BRAID_WORD Floats WidenU8(__m128i a) { return _mm256_cvtepi32_ps(LanesOf(a)); }
BRAID_WORD Floats WidenI8(__m128i a) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(a)); }
// 2^-8 times the value: f16 has the bits of E4M3 seven places up, with a bias greater by 8.
BRAID_WORD Floats WidenE4m3(const uint8_t* p) {
  const __m128i words = _mm_slli_epi16(_mm_cvtepi8_epi16(LoadScales(p)), 7);
  return _mm256_cvtph_ps(_mm_and_si128(words, _mm_set1_epi16(static_cast<int16_t>(0xbf80))));
}
BRAID_WORD Floats WidenE8m0(const uint8_t* p) {
  const __m256i bits = _mm256_slli_epi32(_mm256_cvtepu8_epi32(LoadScales(p)), 23);
  return _mm256_castsi256_ps(_mm256_max_epi32(bits, _mm256_set1_epi32(0x00400000)));
}
#endif

BRAID_WORD __m128i LowNibbles(__m128i a) { return _mm_and_si128(a, _mm_set1_epi8(15)); }
BRAID_WORD __m128i HighNibbles(__m128i a) { return _mm_and_si128(_mm_srli_epi16(a, 4), _mm_set1_epi8(15)); }

// Four consecutive codes of an activation row.
BRAID_WORD int32_t FourCodes(const int8_t* codes) {
  int32_t four;
  memcpy(&four, codes, 4);
  return four;
}

#if BRAID_ISA_LEVEL >= 2
BRAID_WORD Codes ZeroCodes() { return _mm512_setzero_si512(); }
BRAID_WORD Codes AddCodes(Codes a, Codes b) { return _mm512_add_epi32(a, b); }
template <int kBits>
BRAID_WORD Codes ShiftLeft(Codes a) {
  return _mm512_slli_epi32(a, kBits);
}
BRAID_WORD Codes BroadcastCode(int32_t x) { return _mm512_set1_epi32(x); }
BRAID_WORD Codes MulCodes(Codes a, Codes b) { return _mm512_mullo_epi32(a, b); }
BRAID_WORD Floats ToFloats(Codes a) { return _mm512_cvtepi32_ps(a); }
#else
BRAID_WORD Codes ZeroCodes() { return _mm256_setzero_si256(); }
BRAID_WORD Codes AddCodes(Codes a, Codes b) { return _mm256_add_epi32(a, b); }
template <int kBits>
BRAID_WORD Codes ShiftLeft(Codes a) {
  return _mm256_slli_epi32(a, kBits);
}
BRAID_WORD Codes BroadcastCode(int32_t x) { return _mm256_set1_epi32(x); }
BRAID_WORD Codes MulCodes(Codes a, Codes b) { return _mm256_mullo_epi32(a, b); }
BRAID_WORD Floats ToFloats(Codes a) { return _mm256_cvtepi32_ps(a); }
#endif

// A lane's sum over up to 8 steps of 4 products of weight codes and one plane of activation codes -128..127.
// HalfDot takes weight codes as small as the steps are many (kHalfSum); ByteDot takes 0..255.
#if BRAID_ISA_LEVEL == 3

inline constexpr int kHalfSum = 0x7fffffff;

struct HalfDot {
  Codes sum;
  BRAID_WORD void Start() { sum = ZeroCodes(); }
  BRAID_WORD void Step(Codes weights, int32_t four) { sum = _mm512_dpbusd_epi32(sum, weights, BroadcastCode(four)); }
  BRAID_WORD Codes Total() const { return sum; }
};
struct ByteWeights {
  Codes bytes;
  BRAID_WORD static ByteWeights Of(Codes bytes) { return {bytes}; }
};
struct ByteDot : HalfDot {
  BRAID_WORD void Step(const ByteWeights& weights, int32_t four) { HalfDot::Step(weights.bytes, four); }
};

#else

#if BRAID_ISA_LEVEL == 2
BRAID_WORD Codes AddPairs(Codes sum, Codes weights, int32_t four) {
  return _mm512_add_epi16(sum, _mm512_maddubs_epi16(weights, BroadcastCode(four)));
}
BRAID_WORD Codes SumQuads(Codes pairs) { return _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)); }
#else
BRAID_WORD Codes AddPairs(Codes sum, Codes weights, int32_t four) {
  return _mm256_add_epi16(sum, _mm256_maddubs_epi16(weights, BroadcastCode(four)));
}
BRAID_WORD Codes SumQuads(Codes pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }
#endif

// Pairs of products are summed in 16 bits.
inline constexpr int kHalfSum = 0x7fff;

struct HalfDot {
  Codes pairs;
  BRAID_WORD void Start() { pairs = ZeroCodes(); }
  BRAID_WORD void Step(Codes weights, int32_t four) { pairs = AddPairs(pairs, weights, four); }
  BRAID_WORD Codes Total() const { return SumQuads(pairs); }
};
// Bytes as two halves: a whole byte's pair would overflow 16 bits.
struct ByteWeights {
  Codes low, high;
  BRAID_WORD static ByteWeights Of(Codes bytes) { return {LowHalves(bytes), HighHalves(bytes)}; }
};
struct ByteDot {
  Codes low, high;
  BRAID_WORD void Start() { low = high = ZeroCodes(); }
  BRAID_WORD void Step(const ByteWeights& weights, int32_t four) {
    low = AddPairs(low, weights.low, four);
    high = AddPairs(high, weights.high, four);
  }
  BRAID_WORD Codes Total() const { return AddCodes(SumQuads(low), ShiftLeft<4>(SumQuads(high))); }
};

#endif

// Both planes of the activations' codes.
template <class Dot>
struct PlanesDot {
  Dot high, low;
  BRAID_WORD void Start() {
    high.Start();
    low.Start();
  }
  template <class Weights>
  BRAID_WORD void Step(const Weights& weights, const int8_t* high_codes, const int8_t* low_codes) {
    high.Step(weights, FourCodes(high_codes));
    low.Step(weights, FourCodes(low_codes));
  }
  // Of a block below 2^31 by the codes' bounds.
  BRAID_WORD Codes Total() const { return AddCodes(ShiftLeft<8>(high.Total()), low.Total()); }
};

// How many steps HalfDot may take of weight codes up to `largest`: a power of two.
constexpr int HalfSteps(int largest) {
  int steps = 8;
  while (steps > 1 && steps > kHalfSum / (2 * 128 * largest)) steps /= 2;
  return steps;
}

}  // namespace braid::cpu::BRAID_ISA
