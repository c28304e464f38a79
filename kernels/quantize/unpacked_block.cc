#include "kernels/quantize/unpacked_block.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/errors.h"
#include "kernels/float_types.h"
#include "kernels/quantize/block_formats.h"

namespace braid {
namespace {

// ---- codes, by the way their bits lie

// Elements [0, 32) of sixteen bytes of nibbles.
void TakeNibbles(const uint8_t* bytes, uint8_t* codes) {
  for (int j = 0; j < 16; ++j) {
    codes[j] = bytes[j] & 15;
    codes[j + 16] = bytes[j] >> 4;
  }
}
void AddFifth(const uint8_t* fifth, uint8_t* codes) {
  for (int j = 0; j < 32; ++j) codes[j] |= static_cast<uint8_t>((fifth[j / 8] >> j % 8 & 1) << 4);
}
// Elements of 256: the low and the high halves of each 32 bytes follow each other.
void TakeLongNibbles(const uint8_t* bytes, uint8_t* codes) {
  for (int i = 0; i < 256; ++i) codes[i] = bytes[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}
// Bit i / 32 of byte i % 32, to be added at `shift`.
void AddLongBits(const uint8_t* bytes, int shift, uint8_t* codes) {
  for (int i = 0; i < 256; ++i) codes[i] |= static_cast<uint8_t>((bytes[i % 32] >> i / 32 & 1) << shift);
}
void AddPairs(const uint8_t* bytes, int shift, uint8_t* codes) {
  for (int i = 0; i < 256; ++i) {
    codes[i] |= static_cast<uint8_t>((bytes[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) << shift);
  }
}

// The eight pairs of 6 bits of Q4_K and Q5_K.
void TakeSixBitPairs(const uint8_t* s, UnpackedBlock* out) {
  for (int j = 0; j < 4; ++j) {
    out->scales[j] = static_cast<int8_t>(s[j] & 63);
    out->mins[j] = s[j + 4] & 63;
    out->scales[j + 4] = static_cast<int8_t>((s[j + 8] & 15) | s[j] >> 6 << 4);
    out->mins[j + 4] = static_cast<uint8_t>(s[j + 8] >> 4 | s[j + 4] >> 6 << 4);
  }
}

// ---- one overload a format

void Unpack(const BlockQ8_0& block, UnpackedBlock* out) {
  for (int j = 0; j < 32; ++j) out->codes[j] = static_cast<uint8_t>(block.codes[j] + 128);
  out->scale = block.scale;
}
void Unpack(const BlockQ4_0& block, UnpackedBlock* out) {
  TakeNibbles(block.codes, out->codes);
  out->scale = block.scale;
}
void Unpack(const BlockQ4_1& block, UnpackedBlock* out) {
  TakeNibbles(block.codes, out->codes);
  out->scale = block.scale;
  out->min = block.min;
}
void Unpack(const BlockQ5_0& block, UnpackedBlock* out) {
  TakeNibbles(block.codes, out->codes);
  AddFifth(block.fifth, out->codes);
  out->scale = block.scale;
}
void Unpack(const BlockQ5_1& block, UnpackedBlock* out) {
  TakeNibbles(block.codes, out->codes);
  AddFifth(block.fifth, out->codes);
  out->scale = block.scale;
  out->min = block.min;
}
void Unpack(const BlockIQ4_NL& block, UnpackedBlock* out) {
  TakeNibbles(block.codes, out->codes);
  out->scale = block.scale;
}
void Unpack(const BlockMXFP4& block, UnpackedBlock* out) {
  TakeNibbles(block.codes, out->codes);
  out->scale = block.scale;
}
uint16_t WordOf(const uint8_t (&bytes)[2]) { return static_cast<uint16_t>(bytes[0] | bytes[1] << 8); }
void Unpack(const BlockInt4& block, UnpackedBlock* out) {
  TakeNibbles(block.codes, out->codes);
  out->scale = WordOf(block.scale);
  out->zero = block.zero;
}
void Unpack(const BlockInt8& block, UnpackedBlock* out) {
  std::memcpy(out->codes, block.codes, 32);
  out->scale = WordOf(block.scale);
  out->zero = block.zero;
}
void Unpack(const BlockQ2_K& block, UnpackedBlock* out) {
  std::memset(out->codes, 0, 256);
  AddPairs(block.codes, 0, out->codes);
  out->scale = block.d;
  out->min = block.dmin;
  for (int g = 0; g < 16; ++g) {
    out->scales[g] = static_cast<int8_t>(block.scales[g] & 15);
    out->mins[g] = block.scales[g] >> 4;
  }
}
void Unpack(const BlockQ3_K& block, UnpackedBlock* out) {
  std::memset(out->codes, 0, 256);
  AddPairs(block.codes, 0, out->codes);
  AddLongBits(block.third, 2, out->codes);
  out->scale = block.d;
  for (int g = 0; g < 16; ++g) {
    const int low = block.scales[g % 8] >> (g / 8 * 4) & 15, high = block.scales[8 + g % 4] >> (g / 4 * 2) & 3;
    out->scales[g] = static_cast<int8_t>((low | high << 4) - 32);
  }
}
void Unpack(const BlockQ4_K& block, UnpackedBlock* out) {
  TakeLongNibbles(block.codes, out->codes);
  TakeSixBitPairs(block.scales, out);
  out->scale = block.d;
  out->min = block.dmin;
}
void Unpack(const BlockQ5_K& block, UnpackedBlock* out) {
  TakeLongNibbles(block.codes, out->codes);
  AddLongBits(block.fifth, 4, out->codes);
  TakeSixBitPairs(block.scales, out);
  out->scale = block.d;
  out->min = block.dmin;
}
void Unpack(const BlockQ6_K& block, UnpackedBlock* out) {
  for (int i = 0; i < 256; ++i) {
    out->codes[i] = block.low[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
  }
  AddPairs(block.high, 4, out->codes);
  std::memcpy(out->scales, block.scales, 16);
  out->scale = block.d;
}

template <class Block>
void UnpackAt(const std::byte* bytes, UnpackedBlock* out) {
  Block block;
  std::memcpy(&block, bytes, sizeof(Block));
  Unpack(block, out);
}

bool IsFiniteF16(uint16_t bits) { return (bits & 0x7c00u) != 0x7c00u; }

// Where a block's f16 scale, and its minimum right behind it, lie.
struct ScalePlaces {
  int offset = 0, count = 1;
};
ScalePlaces PlacesOf(DType dtype) {
  switch (dtype) {
    case DType::kQ2_K: return {offsetof(BlockQ2_K, d), 2};
    case DType::kQ3_K: return {offsetof(BlockQ3_K, d), 1};
    case DType::kQ6_K: return {offsetof(BlockQ6_K, d), 1};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K: return {0, 2};
    default: return {0, 1};
  }
}

}  // namespace

void Unpack(DType dtype, const std::byte* bytes, UnpackedBlock* block) {
  switch (dtype) {
    case DType::kQ8_0: return UnpackAt<BlockQ8_0>(bytes, block);
    case DType::kQ4_0: return UnpackAt<BlockQ4_0>(bytes, block);
    case DType::kQ4_1: return UnpackAt<BlockQ4_1>(bytes, block);
    case DType::kQ5_0: return UnpackAt<BlockQ5_0>(bytes, block);
    case DType::kQ5_1: return UnpackAt<BlockQ5_1>(bytes, block);
    case DType::kIQ4_NL: return UnpackAt<BlockIQ4_NL>(bytes, block);
    case DType::kMXFP4Blocks: return UnpackAt<BlockMXFP4>(bytes, block);
    case DType::kInt4: return UnpackAt<BlockInt4>(bytes, block);
    case DType::kInt8: return UnpackAt<BlockInt8>(bytes, block);
    case DType::kQ2_K: return UnpackAt<BlockQ2_K>(bytes, block);
    case DType::kQ3_K: return UnpackAt<BlockQ3_K>(bytes, block);
    case DType::kQ4_K: return UnpackAt<BlockQ4_K>(bytes, block);
    case DType::kQ5_K: return UnpackAt<BlockQ5_K>(bytes, block);
    case DType::kQ6_K: return UnpackAt<BlockQ6_K>(bytes, block);
    default: CHECK(false) << DTypeName(dtype);
  }
}

BlockFacts FactsOf(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0: return {.zero = 128};
    case DType::kQ4_0: return {.zero = 8};
    case DType::kQ4_1: return {.min = BlockFacts::kPlus};
    case DType::kQ5_0: return {.zero = 16};
    case DType::kQ5_1: return {.min = BlockFacts::kPlus};
    case DType::kIQ4_NL: return {.table = kIq4Values};
    case DType::kMXFP4Blocks: return {.table = kE2m1Doubled};
    case DType::kInt4:
    case DType::kInt8: return {.own_zero = true};
    case DType::kQ2_K: return {.group = 16, .min = BlockFacts::kMinus};
    case DType::kQ3_K: return {.group = 16, .zero = 4};
    case DType::kQ4_K:
    case DType::kQ5_K: return {.group = 32, .min = BlockFacts::kMinus};
    case DType::kQ6_K: return {.group = 16, .zero = 32};
    default: CHECK(false) << DTypeName(dtype);
  }
}

void Dequantize(DType dtype, const UnpackedBlock& block, int count, float* out) {
  const BlockFacts facts = FactsOf(dtype);
  const float whole = dtype == DType::kMXFP4Blocks ? 0.5f * ToFloat(E8m0{static_cast<uint8_t>(block.scale)})
                                                   : ToFloat(F16{block.scale});
  const float min_sign = facts.min == BlockFacts::kMinus ? -1.0f : 1.0f;
  const int group = facts.group > 0 ? facts.group : count, zero = facts.own_zero ? block.zero : facts.zero;
  for (int begin = 0; begin < count; begin += group) {
    const int g = begin / group;
    const float scale = facts.group > 0 ? whole * block.scales[g] : whole;
    const float min = min_sign * ToFloat(F16{block.min}) * (facts.group > 0 ? block.mins[g] : 1);
    for (int i = begin; i < std::min(count, begin + group); ++i) {
      const int value = facts.table != nullptr ? facts.table[block.codes[i]] : block.codes[i] - zero;
      out[i] = scale * static_cast<float>(value);
      if (facts.min != BlockFacts::kNone) out[i] += min;
    }
  }
}

bool HasFiniteScales(DType dtype, const std::byte* bytes) {
  if (dtype == DType::kMXFP4Blocks) return !IsNan(E8m0{static_cast<uint8_t>(*bytes)});
  const ScalePlaces places = PlacesOf(dtype);
  uint16_t scales[2] = {};
  std::memcpy(scales, bytes + places.offset, 2 * static_cast<size_t>(places.count));
  return IsFiniteF16(scales[0]) && IsFiniteF16(scales[1]);
}

}  // namespace braid
