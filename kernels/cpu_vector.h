// The few SIMD words that CPU operations are written in: V16, sixteen floats, one register with AVX-512 and two with
// AVX2. Every word gives the same bits on every instruction set, so kernels written once over V16 do too.
//
// Include it last: from here to the end of the file, code is compiled for BRAID_ISA (avx2 | avx512 | avx512_vnni).
// Inline functions of the headers before it stay plain x86-64, so that the linker may keep any copy of them.
// All code behind it lives in namespace braid::cpu::BRAID_ISA or an unnamed one within.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#ifndef BRAID_ISA
#error "cpu_vector.h wants BRAID_ISA: compile this file once per instruction set"
#endif

#define BRAID_ISA_LEVEL_avx2 1
#define BRAID_ISA_LEVEL_avx512 2
#define BRAID_ISA_LEVEL_avx512_vnni 3
#define BRAID_ISA_LEVEL_OF_INNER(isa) BRAID_ISA_LEVEL_##isa
#define BRAID_ISA_LEVEL_OF(isa) BRAID_ISA_LEVEL_OF_INNER(isa)
#define BRAID_ISA_LEVEL BRAID_ISA_LEVEL_OF(BRAID_ISA)

#if BRAID_ISA_LEVEL == 1
#pragma GCC target("avx2,fma,f16c")
#elif BRAID_ISA_LEVEL == 2
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")
#elif BRAID_ISA_LEVEL == 3
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#else
#error "BRAID_ISA is none of avx2, avx512, avx512_vnni"
#endif

#define BRAID_WORD [[gnu::always_inline]] inline

namespace braid::cpu::BRAID_ISA {

inline constexpr int kLanes = 16;

#if BRAID_ISA_LEVEL >= 2

struct V16 {
  __m512 v;
};

BRAID_WORD __mmask16 FirstLanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

BRAID_WORD V16 Zero() { return {_mm512_setzero_ps()}; }
BRAID_WORD V16 Set1(float x) { return {_mm512_set1_ps(x)}; }
BRAID_WORD V16 Load(const float* p) { return {_mm512_loadu_ps(p)}; }
BRAID_WORD void Store(float* p, V16 a) { _mm512_storeu_ps(p, a.v); }
// The first `n` lanes, 0 <= n <= 16; the others are zero, and their memory is not touched.
BRAID_WORD V16 Load(const float* p, int n) { return {_mm512_maskz_loadu_ps(FirstLanes(n), p)}; }
BRAID_WORD void Store(float* p, V16 a, int n) { _mm512_mask_storeu_ps(p, FirstLanes(n), a.v); }
// Lanes from `n` on become `fill`.
BRAID_WORD V16 KeepFirst(V16 a, int n, V16 fill) { return {_mm512_mask_mov_ps(fill.v, FirstLanes(n), a.v)}; }

BRAID_WORD V16 Add(V16 a, V16 b) { return {_mm512_add_ps(a.v, b.v)}; }
BRAID_WORD V16 Sub(V16 a, V16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
BRAID_WORD V16 Mul(V16 a, V16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
BRAID_WORD V16 Div(V16 a, V16 b) { return {_mm512_div_ps(a.v, b.v)}; }
BRAID_WORD V16 Sqrt(V16 a) { return {_mm512_sqrt_ps(a.v)}; }
// a * b + c, rounded once.
BRAID_WORD V16 Fma(V16 a, V16 b, V16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// c - a * b, rounded once.
BRAID_WORD V16 FmaNegative(V16 a, V16 b, V16 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
// b where either is NaN.
BRAID_WORD V16 Max(V16 a, V16 b) { return {_mm512_max_ps(a.v, b.v)}; }
BRAID_WORD V16 Min(V16 a, V16 b) { return {_mm512_min_ps(a.v, b.v)}; }
BRAID_WORD V16 Abs(V16 a) { return {_mm512_abs_ps(a.v)}; }
BRAID_WORD V16 Negate(V16 a) {
  return {_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(a.v), _mm512_set1_epi32(INT32_MIN)))};
}
// Nearest integer, ties to even.
BRAID_WORD V16 Round(V16 a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// x where a < b, else y.
BRAID_WORD V16 SelectLess(V16 a, V16 b, V16 x, V16 y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
// a * 2^n for integral n, where neither a nor the result is subnormal or overflows.
BRAID_WORD V16 ScaleByPowerOf2(V16 a, V16 n) {
  const __m512i shifted = _mm512_slli_epi32(_mm512_cvtps_epi32(n.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a.v), shifted))};
}

BRAID_WORD V16 LoadF16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
BRAID_WORD void StoreF16(uint16_t* p, V16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
BRAID_WORD V16 LoadBf16(const uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
BRAID_WORD void StoreBf16(uint16_t* p, V16 a) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i nan = _mm512_or_si512(bits, _mm512_set1_epi32(1 << 22));
  const __m512i wide = _mm512_mask_blend_epi32(_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q), rounded, nan);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(_mm512_srli_epi32(wide, 16)));
}

BRAID_WORD __m256 LowHalf(V16 a) { return _mm512_castps512_ps256(a.v); }
BRAID_WORD __m256 HighHalf(V16 a) { return _mm512_extractf32x8_ps(a.v, 1); }

#else

struct V16 {
  __m256 lo, hi;
};

namespace {
alignas(64) constexpr int32_t kLaneMask[48] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
}  // namespace

// Lanes [first, first + 8) of the mask that has the first `n` of sixteen set.
BRAID_WORD __m256i FirstLanes(int n, int first) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kLaneMask + 16 - n + first));
}

BRAID_WORD V16 Zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
BRAID_WORD V16 Set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
BRAID_WORD V16 Load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
BRAID_WORD void Store(float* p, V16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
// The first `n` lanes, 0 <= n <= 16; the others are zero, and their memory is not touched.
BRAID_WORD V16 Load(const float* p, int n) {
  return {_mm256_maskload_ps(p, FirstLanes(n, 0)), _mm256_maskload_ps(p + 8, FirstLanes(n, 8))};
}
BRAID_WORD void Store(float* p, V16 a, int n) {
  _mm256_maskstore_ps(p, FirstLanes(n, 0), a.lo);
  _mm256_maskstore_ps(p + 8, FirstLanes(n, 8), a.hi);
}
// Lanes from `n` on become `fill`.
BRAID_WORD V16 KeepFirst(V16 a, int n, V16 fill) {
  return {_mm256_blendv_ps(fill.lo, a.lo, _mm256_castsi256_ps(FirstLanes(n, 0))),
          _mm256_blendv_ps(fill.hi, a.hi, _mm256_castsi256_ps(FirstLanes(n, 8)))};
}

BRAID_WORD V16 Add(V16 a, V16 b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
BRAID_WORD V16 Sub(V16 a, V16 b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
BRAID_WORD V16 Mul(V16 a, V16 b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
BRAID_WORD V16 Div(V16 a, V16 b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
BRAID_WORD V16 Sqrt(V16 a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
// a * b + c, rounded once.
BRAID_WORD V16 Fma(V16 a, V16 b, V16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
// c - a * b, rounded once.
BRAID_WORD V16 FmaNegative(V16 a, V16 b, V16 c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
// b where either is NaN.
BRAID_WORD V16 Max(V16 a, V16 b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
BRAID_WORD V16 Min(V16 a, V16 b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
BRAID_WORD V16 Abs(V16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
BRAID_WORD V16 Negate(V16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(sign, a.lo), _mm256_xor_ps(sign, a.hi)};
}
// Nearest integer, ties to even.
BRAID_WORD V16 Round(V16 a) {
  return {_mm256_round_ps(a.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
          _mm256_round_ps(a.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
// x where a < b, else y.
BRAID_WORD V16 SelectLess(V16 a, V16 b, V16 x, V16 y) {
  return {_mm256_blendv_ps(y.lo, x.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_blendv_ps(y.hi, x.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
BRAID_WORD __m256 ScaleByPowerOf2(__m256 a, __m256 n) {
  const __m256i shifted = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), shifted));
}
// a * 2^n for integral n, where neither a nor the result is subnormal or overflows.
BRAID_WORD V16 ScaleByPowerOf2(V16 a, V16 n) { return {ScaleByPowerOf2(a.lo, n.lo), ScaleByPowerOf2(a.hi, n.hi)}; }

BRAID_WORD V16 LoadF16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
BRAID_WORD void StoreF16(uint16_t* p, V16 a) {
  constexpr int kRounding = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, kRounding));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, kRounding));
}
BRAID_WORD __m256 WidenBf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
BRAID_WORD V16 LoadBf16(const uint16_t* p) { return {WidenBf16(p), WidenBf16(p + 8)}; }
// The bf16 bits of each lane in its low half.
BRAID_WORD __m256i NarrowToBf16(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
  const __m256i nan = _mm256_or_si256(bits, _mm256_set1_epi32(1 << 22));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, nan, is_nan), 16);
}
BRAID_WORD void StoreBf16(uint16_t* p, V16 a) {
  const __m256i packed = _mm256_packus_epi32(NarrowToBf16(a.lo), NarrowToBf16(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
}

BRAID_WORD __m256 LowHalf(V16 a) { return a.lo; }
BRAID_WORD __m256 HighHalf(V16 a) { return a.hi; }

#endif

BRAID_WORD V16 operator+(V16 a, V16 b) { return Add(a, b); }
BRAID_WORD V16 operator-(V16 a, V16 b) { return Sub(a, b); }
BRAID_WORD V16 operator*(V16 a, V16 b) { return Mul(a, b); }
BRAID_WORD V16 operator/(V16 a, V16 b) { return Div(a, b); }

// Loads and stores of the first `n` of sixteen 2-byte floats; lanes from `n` on are zero, their memory is not touched.
BRAID_WORD V16 LoadF16(const uint16_t* p, int n) {
  uint16_t whole[kLanes] = {};
  memcpy(whole, p, 2 * static_cast<size_t>(n));
  return LoadF16(whole);
}
BRAID_WORD V16 LoadBf16(const uint16_t* p, int n) {
  uint16_t whole[kLanes] = {};
  memcpy(whole, p, 2 * static_cast<size_t>(n));
  return LoadBf16(whole);
}
BRAID_WORD void StoreF16(uint16_t* p, V16 a, int n) {
  uint16_t whole[kLanes];
  StoreF16(whole, a);
  memcpy(p, whole, 2 * static_cast<size_t>(n));
}
BRAID_WORD void StoreBf16(uint16_t* p, V16 a, int n) {
  uint16_t whole[kLanes];
  StoreBf16(whole, a);
  memcpy(p, whole, 2 * static_cast<size_t>(n));
}

// The sum of all lanes: i with i + 8, then i + 4, i + 2, i + 1.
BRAID_WORD float Sum(V16 a) {
  const __m256 eight = _mm256_add_ps(LowHalf(a), HighHalf(a));
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}

// The largest lane; no lane may be NaN.
BRAID_WORD float MaxLane(V16 a) {
  const __m256 eight = _mm256_max_ps(LowHalf(a), HighHalf(a));
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

// e^x within 1 ulp from -87.33 to 88.72; 0 below, infinity above, NaN for NaN.
// x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts; e^r by its Taylor series to r^7 (remainder 5e-9).
BRAID_WORD V16 Exp(V16 x) {
  const V16 n = Round(Mul(x, Set1(0x1.715476p+0f)));
  V16 r = FmaNegative(n, Set1(0x1.62e4p-1f), x);
  r = FmaNegative(n, Set1(0x1.7f7d1cp-20f), r);
  V16 p = Set1(1.0f / 5040);
  p = Fma(p, r, Set1(1.0f / 720));
  p = Fma(p, r, Set1(1.0f / 120));
  p = Fma(p, r, Set1(1.0f / 24));
  p = Fma(p, r, Set1(1.0f / 6));
  p = Fma(p, r, Set1(0.5f));
  p = Fma(p, r, Set1(1.0f));
  p = Fma(p, r, Set1(1.0f));
  const V16 scaled = ScaleByPowerOf2(p, n);
  const V16 low = SelectLess(x, Set1(-87.33f), Zero(), scaled);
  return SelectLess(Set1(88.72f), x, Set1(__builtin_inff()), low);
}

// 1 / (1 + e^-x)
BRAID_WORD V16 Sigmoid(V16 x) { return Div(Set1(1.0f), Add(Set1(1.0f), Exp(Negate(x)))); }

// x / (1 + e^-x)
BRAID_WORD V16 Silu(V16 x) { return Div(x, Add(Set1(1.0f), Exp(Negate(x)))); }

// ln(1 + u) for 0 <= u <= 1 within 3 ulp: ln w of the rounded w = 1 + u by the series of atanh, plus what w lost.
BRAID_WORD V16 Log1p(V16 u) {
  const V16 one = Set1(1.0f), w = Add(one, u), high = Set1(1.41421356f);
  const V16 lost = Div(Sub(u, Sub(w, one)), w);
  const V16 m = SelectLess(high, w, Mul(w, Set1(0.5f)), w);
  const V16 ln2 = SelectLess(high, w, Set1(0.693147181f), Zero());
  const V16 s = Div(Sub(m, one), Add(m, one)), s2 = Mul(s, s);
  V16 p = Set1(2.0f / 9);
  p = Fma(p, s2, Set1(2.0f / 7));
  p = Fma(p, s2, Set1(2.0f / 5));
  p = Fma(p, s2, Set1(2.0f / 3));
  p = Fma(p, s2, Set1(2.0f));
  return Add(ln2, Fma(p, s, lost));
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|), within 4 ulp.
BRAID_WORD V16 Softplus(V16 x) { return Add(Max(x, Zero()), Log1p(Exp(Negate(Abs(x))))); }

}  // namespace braid::cpu::BRAID_ISA
