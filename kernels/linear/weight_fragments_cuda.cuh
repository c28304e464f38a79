// Weights of a panel's chunk (cuda_packed_weight.h) on their way into B fragments of mma.m16n8k16: Load brings a lane's
// codes into registers, Widen makes step h of tile j out of them as sums of kTerms bf16 numbers, largest first.
#pragma once

#include "kernels/cuda_device.cuh"
#include "kernels/linear/cuda_packed_weight.h"

namespace braid::cuda {

// ---- words

__device__ inline float BitsToFloat(uint32_t bits) { return __uint_as_float(bits); }

// Two bf16 numbers, `low` in the low half, rounded to nearest even.
__device__ inline uint32_t PackBf16(float low, float high) {
#ifdef __CUDACC__
  const __nv_bfloat162 two = __floats2bfloat162_rn(low, high);
  return static_cast<uint32_t>(__bfloat16_as_ushort(two.x)) | static_cast<uint32_t>(__bfloat16_as_ushort(two.y)) << 16;
#else
  return Narrow<Bf16>(low).bits | static_cast<uint32_t>(Narrow<Bf16>(high).bits) << 16;
#endif
}

__device__ inline float LowBf16(uint32_t pair) { return BitsToFloat(pair << 16); }
__device__ inline float HighBf16(uint32_t pair) { return BitsToFloat(pair & 0xffff0000u); }

__device__ inline uint32_t MulBf16x2(uint32_t a, uint32_t b) {
#ifdef __CUDACC__
  uint32_t product;  // with -0 added, which sm_80 has an instruction for
  asm("fma.rn.bf16x2 %0,%1,%2,%3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));
  return product;
#else
  return PackBf16(LowBf16(a) * LowBf16(b), HighBf16(a) * HighBf16(b));
#endif
}

__device__ inline float HalfBits(uint32_t bits) { return Widen(F16{static_cast<uint16_t>(bits)}); }

// Writes (low, high) as sums of kTerms bf16 pairs. Three terms keep all 24 bits of an f32; what is not finite becomes
// NaN in the second.
template <int kTerms>
__device__ inline void SplitPair(float low, float high, uint32_t (&terms)[kTerms]) {
#pragma unroll
  for (int i = 0; i < kTerms - 1; ++i) {
    const uint32_t a = __float_as_uint(low) & 0xffff0000u, b = __float_as_uint(high) & 0xffff0000u;
    terms[i] = a >> 16 | b;
    low -= BitsToFloat(a);
    high -= BitsToFloat(b);
  }
  terms[kTerms - 1] = PackBf16(low, high);
}

// A lane's four pairs of an operand as kTerms A fragments of mma.m16n8k16.
template <int kTerms>
__device__ inline void SplitFragment(const float2 (&pairs)[4], uint32_t (&a)[kTerms][4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    uint32_t terms[kTerms];
    SplitPair<kTerms>(pairs[i].x, pairs[i].y, terms);
#pragma unroll
    for (int term = 0; term < kTerms; ++term) a[term][i] = terms[term];
  }
}

__device__ inline uint4 LoadVector(const std::byte* at) { return __ldg(reinterpret_cast<const uint4*>(at)); }
__device__ inline uint2 LoadPair(const std::byte* at) { return __ldg(reinterpret_cast<const uint2*>(at)); }
__device__ inline uint32_t LoadWord(const std::byte* at) { return __ldg(reinterpret_cast<const unsigned*>(at)); }

__device__ inline uint32_t WordAt(const uint4& v, int index) {
  return index == 0 ? v.x : index == 1 ? v.y : index == 2 ? v.z : v.w;
}

// Where a lane's parts of a chunk lie.
struct ChunkPlace {
  const std::byte* chunk;
  const std::byte* head;  // of its panel's group; meaningless without heads
};
__device__ inline ChunkPlace PlaceOfChunk(const CudaWeightSet& set, const std::byte* base, int panel, int chunk) {
  const std::byte* const codes =
      base + set.codes_offset + (static_cast<int64_t>(panel) * set.chunks + chunk) * set.chunk_bytes;
  const int group = set.head_chunks > 0 ? chunk / set.head_chunks : 0;
  return {codes, base + set.heads_offset + (static_cast<int64_t>(panel) * set.num_heads + group) * set.head_bytes};
}

// ---- formats: kFullTerms bf16 numbers keep a weight as exact as it was; kAhead chunks are loaded before they are needed,
// so that a processor has some 30 kB on their way in any format

struct F32Weights {
  static constexpr int kFullTerms = 3;
  static constexpr int kAhead = 1;
  uint4 codes[8];
  __device__ void Load(const CudaWeightSet&, const ChunkPlace& place, int lane) {
#pragma unroll
    for (int i = 0; i < 8; ++i) codes[i] = LoadVector(place.chunk + i * 512 + lane * 16);
  }
  __device__ void Floats(const CudaWeightSet&, int j, int h, float (&w)[4]) const {
    const uint4& four = codes[2 * j + h];
    w[0] = BitsToFloat(four.x);
    w[1] = BitsToFloat(four.y);
    w[2] = BitsToFloat(four.z);
    w[3] = BitsToFloat(four.w);
  }
};

struct HalfCodes {
  static constexpr int kAhead = 2;
  uint4 codes[4];
  __device__ void Load(const CudaWeightSet&, const ChunkPlace& place, int lane) {
#pragma unroll
    for (int j = 0; j < 4; ++j) codes[j] = LoadVector(place.chunk + j * 512 + lane * 16);
  }
};

struct F16Weights : HalfCodes {
  static constexpr int kFullTerms = 2;
  __device__ void Floats(const CudaWeightSet&, int j, int h, float (&w)[4]) const {
    const uint32_t a = h == 0 ? codes[j].x : codes[j].z, b = h == 0 ? codes[j].y : codes[j].w;
    w[0] = HalfBits(a);
    w[1] = HalfBits(a >> 16);
    w[2] = HalfBits(b);
    w[3] = HalfBits(b >> 16);
  }
};

struct Bf16Weights : HalfCodes {
  static constexpr int kFullTerms = 1;
  __device__ void Pairs(const CudaWeightSet&, int j, int h, uint32_t (&pair)[2]) const {
    pair[0] = h == 0 ? codes[j].x : codes[j].z;
    pair[1] = h == 0 ? codes[j].y : codes[j].w;
  }
};

// A byte s eeee mmm in the high half of a 16-bit word becomes bf16 s 0000 eeee mmm 0000: its value times 2^-120.
struct Fp8Codes {
  uint4 codes[2];
  __device__ void LoadCodes(const ChunkPlace& place, int lane) {
    codes[0] = LoadVector(place.chunk + lane * 16);
    codes[1] = LoadVector(place.chunk + 512 + lane * 16);
  }
  __device__ void Widened(int j, int h, uint32_t (&pair)[2]) const {
    const uint32_t word = WordAt(codes[j / 2], j % 2 * 2 + h);
    constexpr uint32_t kUp = 0x7b807b80u;  // 2^120, twice
    pair[0] = MulBf16x2((word << 8 & 0x80008000u) | (word << 4 & 0x07f007f0u), kUp);
    pair[1] = MulBf16x2((word & 0x80008000u) | (word >> 4 & 0x07f007f0u), kUp);
  }
};

// One scale for each row, which the epilogue knows.
struct Fp8RowWeights : Fp8Codes {
  static constexpr int kFullTerms = 1;
  static constexpr int kAhead = 3;
  __device__ void Load(const CudaWeightSet&, const ChunkPlace& place, int lane) { LoadCodes(place, lane); }
  __device__ void Pairs(const CudaWeightSet&, int j, int h, uint32_t (&pair)[2]) const { Widened(j, h, pair); }
};

// Scales that change along a row.
struct Fp8BlockWeights : Fp8Codes {
  static constexpr int kFullTerms = 3;
  static constexpr int kAhead = 2;
  uint4 scales;
  __device__ void Load(const CudaWeightSet&, const ChunkPlace& place, int lane) {
    LoadCodes(place, lane);
    scales = LoadVector(place.head + lane / 4 * 16);
  }
  __device__ void Floats(const CudaWeightSet&, int j, int h, float (&w)[4]) const {
    uint32_t pair[2];
    Widened(j, h, pair);
    const float scale = BitsToFloat(WordAt(scales, j));
    w[0] = LowBf16(pair[0]) * scale;
    w[1] = HighBf16(pair[0]) * scale;
    w[2] = LowBf16(pair[1]) * scale;
    w[3] = HighBf16(pair[1]) * scale;
  }
};

// A nibble s ee m at the top of a 16-bit word becomes bf16 s 000000 ee m 000000: its value times 2^-126. NVFP4's scale
// comes times 2^118, and the rest of 2^126 is in the row's scale; MXFP4 is raised in two steps, for its scale may be
// any power of two.
struct Fp4Weights {
  static constexpr int kFullTerms = 1;
  static constexpr int kAhead = 4;
  uint4 codes;
  uint2 scales;
  __device__ void Load(const CudaWeightSet& set, const ChunkPlace& place, int lane) {
    codes = LoadVector(place.chunk + lane * 16);
    if (set.mxfp4) {
      scales.x = LoadWord(place.chunk + 512 + lane / 4 * 4);
    } else {
      scales = LoadPair(place.chunk + 512 + lane / 4 * 8);
    }
  }
  __device__ static uint32_t Nibbles(uint32_t word, int i) {
    const uint32_t top = word << (12 - 4 * i);
    return (top & 0x80008000u) | (top >> 6 & 0x01c001c0u);
  }
  __device__ static uint32_t Twice(float scale) {
    const uint32_t half = __float_as_uint(scale) >> 16;  // exact: at most 4 bits
    return half | half << 16;
  }
  __device__ void Pairs(const CudaWeightSet& set, int j, int h, uint32_t (&pair)[2]) const {
    const uint32_t word = WordAt(codes, j);
    if (set.mxfp4) {
      const uint32_t bits = scales.x >> 8 * j & 255u;
      const uint32_t scale = bits == 0 ? 0x00400040u : bits << 7 | bits << 23;
      constexpr uint32_t kUp = 0x7e807e80u;  // 2^126, twice
      for (int i = 0; i < 2; ++i) pair[i] = MulBf16x2(MulBf16x2(Nibbles(word, 2 * h + i), kUp), scale);
    } else {
      const uint32_t half = j < 2 ? scales.x : scales.y, bits = half >> (16 * (j % 2) + 8 * h) & 255u;
      // s eeee mmm in f32's place is its value times 2^-120; no code of a scale is NaN.
      const float value = BitsToFloat((bits & 0x80u) << 24 | (bits & 0x7fu) << 20) * 0x1p120f;
      const uint32_t scale = Twice(value * 0x1p118f);
      for (int i = 0; i < 2; ++i) pair[i] = MulBf16x2(Nibbles(word, 2 * h + i), scale);
    }
  }
};

// Every block format: which planes and factors there are is the same for a whole launch.
struct BlockWeights {
  static constexpr int kFullTerms = 3;
  static constexpr int kAhead = 2;
  uint4 bytes[2];
  uint4 nibbles;
  uint4 heads;
  uint2 pairs, factors;
  uint32_t bits;

  __device__ void Load(const CudaWeightSet& set, const ChunkPlace& place, int lane) {
    const CudaBlockLayout& layout = set.blocks;
    const std::byte* plane = place.chunk;
    if (layout.bytes) {
      bytes[0] = LoadVector(plane + lane * 16);
      bytes[1] = LoadVector(plane + 512 + lane * 16);
      plane += 1024;
    }
    if (layout.nibbles) {
      nibbles = LoadVector(plane + lane * 16);
      plane += 512;
    }
    if (layout.pairs) {
      pairs = LoadPair(plane + lane * 8);
      plane += 256;
    }
    if (layout.bits) {
      bits = LoadWord(plane + lane * 4);
      plane += 128;
    }
    if (layout.factors != CudaBlockLayout::kNone) factors = LoadPair(plane + lane / 4 * 8);
    if (layout.min_sign != 0) {
      heads = LoadVector(place.head + lane / 4 * 16);
    } else {
      const uint2 two = LoadPair(place.head + lane / 4 * 8);
      heads.x = two.x;
      heads.y = two.y;
    }
  }

  __device__ int Code(const CudaBlockLayout& layout, int j, int e) const {
    if (layout.bytes) {
      const int place = (e & 1) * 2 + (e >> 1 & 1);
      return static_cast<int>(WordAt(bytes[j / 2], j % 2 * 2 + e / 4) >> 8 * place & 255u);
    }
    const int index = 8 * j + e;
    uint32_t code = 0;
    int shift = 0;
    if (layout.nibbles) {
      code = WordAt(nibbles, j) >> 4 * ((e & 1) * 4 + (e >> 1)) & 15u;
      shift = 4;
    }
    if (layout.pairs) {
      code |= ((j < 2 ? pairs.x : pairs.y) >> 2 * (index & 15) & 3u) << shift;
      shift += 2;
    }
    if (layout.bits) code |= (bits >> index & 1u) << shift;
    return static_cast<int>(code);
  }

  // kIq4Values, sixteen signed bytes in four words.
  __device__ static int Iq4(int code) {
    const uint32_t word = code < 8 ? (code < 4 ? 0xbfad9881u : 0xf6eaddcfu) : (code < 12 ? 0x26190d01u : 0x71594535u);
    return static_cast<int8_t>(word >> 8 * (code & 3) & 255u);
  }

  __device__ void Floats(const CudaWeightSet& set, int j, int h, float (&w)[4]) const {
    const CudaBlockLayout& layout = set.blocks;
    float scale, min = 0;
    if (layout.min_sign != 0) {
      const uint32_t both = WordAt(heads, j);
      scale = HalfBits(both);
      min = HalfBits(both >> 16) * static_cast<float>(layout.min_sign);
      if (layout.own_zero) min *= scale;
    } else {
      scale = HalfBits((j < 2 ? heads.x : heads.y) >> 16 * (j % 2));
    }
    const uint32_t two = (j < 2 ? factors.x : factors.y) >> 16 * (j % 2);
    if (layout.factors == CudaBlockLayout::kScaleMin) {
      scale *= static_cast<float>(two & 255u);
      min *= static_cast<float>(two >> 8 & 255u);
    } else if (layout.factors == CudaBlockLayout::kSigned16) {
      scale *= static_cast<float>(static_cast<int8_t>(two >> 8 * h & 255u));
    } else if (layout.factors == CudaBlockLayout::kPacked16) {
      const uint32_t one = two >> 8 * h & 255u;
      scale *= static_cast<float>(one & 15u);
      min *= static_cast<float>(one >> 4);
    }
#pragma unroll
    for (int q = 0; q < 4; ++q) {
      const int code = Code(layout, j, 4 * h + q);
      const int value = layout.iq4 ? Iq4(code) : code - layout.zero;
      w[q] = scale * static_cast<float>(value) + min;
    }
  }
};

// ---- what kernels call

template <class Weights>
concept WidensExactly = Weights::kFullTerms == 1;

// Step h of tile j as B fragments: terms[i][0] is inputs 2c, 2c + 1, terms[i][1] inputs 2c + 8, 2c + 9.
template <int kTerms, class Weights>
__device__ inline void Widen(const Weights& weights, const CudaWeightSet& set, int j, int h,
                             uint32_t (&terms)[kTerms][2]) {
  if constexpr (WidensExactly<Weights>) {
    static_assert(kTerms == 1);
    weights.Pairs(set, j, h, terms[0]);
  } else {
    float w[4];
    weights.Floats(set, j, h, w);
    uint32_t low[kTerms], high[kTerms];
    SplitPair<kTerms>(w[0], w[1], low);
    SplitPair<kTerms>(w[2], w[3], high);
#pragma unroll
    for (int i = 0; i < kTerms; ++i) {
      terms[i][0] = low[i];
      terms[i][1] = high[i];
    }
  }
}

// The same in f32, without the row's scale: inputs 2c, 2c + 1, 2c + 8, 2c + 9 of step h.
template <class Weights>
__device__ inline void WidenToFloats(const Weights& weights, const CudaWeightSet& set, int j, int h, float (&w)[4]) {
  if constexpr (WidensExactly<Weights>) {
    uint32_t pair[2];
    weights.Pairs(set, j, h, pair);
    w[0] = LowBf16(pair[0]);
    w[1] = HighBf16(pair[0]);
    w[2] = LowBf16(pair[1]);
    w[3] = HighBf16(pair[1]);
  } else {
    weights.Floats(set, j, h, w);
  }
}

}  // namespace braid::cuda
