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
BRAID_WORD Floats ToFloats(Codes a) { return _mm512_cvtepi32_ps(a); }
#else
BRAID_WORD Codes ZeroCodes() { return _mm256_setzero_si256(); }
BRAID_WORD Codes AddCodes(Codes a, Codes b) { return _mm256_add_epi32(a, b); }
template <int kBits>
BRAID_WORD Codes ShiftLeft(Codes a) {
  return _mm256_slli_epi32(a, kBits);
}
BRAID_WORD Codes BroadcastCode(int32_t x) { return _mm256_set1_epi32(x); }
BRAID_WORD Floats ToFloats(Codes a) { return _mm256_cvtepi32_ps(a); }
#endif

// A lane's sum over one block of up to 8 x 4 products of weight codes and one plane of activation codes -127..127.
// HalfDot takes weight codes of four bits only; ByteDot takes 0..255.
#if BRAID_ISA_LEVEL == 3

struct HalfDot {
  Codes sum;
  BRAID_WORD void Start() { sum = ZeroCodes(); }
  BRAID_WORD void Step(Codes weights, int32_t four) { sum = _mm512_dpbusd_epi32(sum, weights, BroadcastCode(four)); }
  BRAID_WORD Codes Total() const { return sum; }
};
struct ByteWeights {
  Codes bytes;
  BRAID_WORD static ByteWeights Load(const void* p) { return {LoadCodes(p)}; }
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

// Sums pairs in 16 bits: 8 steps of at most 2 * 15 * 127 = 3810 come to 30480.
struct HalfDot {
  Codes pairs;
  BRAID_WORD void Start() { pairs = ZeroCodes(); }
  BRAID_WORD void Step(Codes weights, int32_t four) { pairs = AddPairs(pairs, weights, four); }
  BRAID_WORD Codes Total() const { return SumQuads(pairs); }
};
// Bytes as two halves: a whole byte's pair would overflow 16 bits.
struct ByteWeights {
  Codes low, high;
  BRAID_WORD static ByteWeights Load(const void* p) {
    const Codes bytes = LoadCodes(p);
    return {LowHalves(bytes), HighHalves(bytes)};
  }
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
  // The whole sum and `value`; below 2^31 by the codes' bounds.
  BRAID_WORD Floats Finish(int32_t value) const {
    return ToFloats(AddCodes(AddCodes(ShiftLeft<7>(high.Total()), low.Total()), BroadcastCode(value)));
  }
};

}  // namespace braid::cpu::BRAID_ISA
