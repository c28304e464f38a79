// What a checkpoint's weight formats mean: whether a source can be packed, and its rows in f32.
#pragma once

#include "absl/status/status.h"
#include "kernels/packed_weight.h"

namespace braid {

// Returns InvalidArgument naming what is wrong: no part, unequal cols, a format without a kernel, bytes that do not
// fit the shape, cols that are no whole blocks, an unequal pair, a block scale that is not finite.
absl::Status CheckSource(const WeightSource& source);

int64_t TotalRows(const WeightSource& source);

inline bool IsBlockFormat(DType dtype) { return BlockOf(dtype).elements > 1; }

// Writes row `row` of `part`, cols floats, to `out`.
void DequantizeRow(const WeightPart& part, int64_t row, float* out);

// One block of 32 in GGUF's layout.
struct BlockQ8_0 {
  uint16_t scale;  // f16; w = scale * code
  int8_t codes[32];
};
struct BlockQ4_0 {
  uint16_t scale;      // f16; w = scale * (code - 8)
  uint8_t codes[16];   // element j in the low half of byte j, element j + 16 in its high half
};
struct BlockQ4_1 {
  uint16_t scale, min;  // f16; w = scale * code + min
  uint8_t codes[16];    // as in Q4_0
};
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);

}  // namespace braid
