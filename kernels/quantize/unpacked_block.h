// A quantized block with one code a byte: what packing, the definition and row look-ups share of a format.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tensor.h"

namespace braid {

// Codes are unsigned and in the order of the elements.
struct UnpackedBlock {
  uint8_t codes[256];
  uint16_t scale = 0;     // f16; E8M0 in MXFP4
  uint16_t min = 0;       // f16
  uint8_t zero = 0;       // INT4, INT8
  int8_t scales[16] = {}; // K formats: factors of `scale` and `min` for each 16 or 32 elements
  uint8_t mins[16] = {};
};

// How a format's codes become weights: w = scale(group) * (table ? table[code] : code - zero) + min(group).
struct BlockFacts {
  int group = 0;                  // elements that share a factor in scales and mins; 0: the whole block is one
  int zero = 0;
  bool own_zero = false;          // each block has its own
  enum Min { kNone, kPlus, kMinus } min = kNone;
  const int8_t* table = nullptr;  // 16 values
};
BlockFacts FactsOf(DType dtype);

// Reads the block of `dtype` (a block format) at `bytes`, at any address.
void Unpack(DType dtype, const std::byte* bytes, UnpackedBlock* block);

// Writes the weights of the first `count` elements.
void Dequantize(DType dtype, const UnpackedBlock& block, int count, float* out);

// Whether all scales and minima of the block at `bytes` are finite.
bool HasFiniteScales(DType dtype, const std::byte* bytes);

}  // namespace braid
