// What a checkpoint's weight formats mean: whether a source can be packed, and its rows in f32.
#pragma once

#include "absl/status/status.h"
#include "kernels/packed_weight.h"

namespace braid {

// Returns InvalidArgument naming what is wrong: no part, unequal cols, a format without a kernel, bytes or scales that
// do not fit the shape, cols that are no whole blocks, an unequal pair, an
// order that is no permutation, a scale or an E4M3 code that is not finite.
absl::Status CheckSource(const WeightSource& source);

int64_t TotalRows(const WeightSource& source);

// Formats whose products are taken over integers: the activations are quantised too.
inline bool IsBlockFormat(DType dtype) { return BlockOf(dtype).elements > 1; }
// E2M1 codes beside their scales.
inline bool IsFp4(DType dtype) { return dtype == DType::kNVFP4 || dtype == DType::kMXFP4; }

// The scale of weight (row, col) of a part of F8_E4M3.
float Fp8Scale(const WeightPart& part, int64_t row, int64_t col);
// The 32 codes of block `block` of a row of a part of E2M1 codes, zeros behind the last.
void TakeFp4Codes(const WeightPart& part, int64_t row, int64_t block, uint8_t* codes);
// The bits of its scale number `index`.
uint8_t Fp4Scale(const WeightPart& part, int64_t row, int64_t index);

// Writes `count` weights of E2M1 codes and the bits of their scales, one for each 16 (NVFP4) or 32 (MXFP4).
void DequantizeFp4(DType dtype, const uint8_t* codes, const uint8_t* scales, float global, int count, float* out);

// Writes row `row` of `part`, cols floats, to `out`.
void DequantizeRow(const WeightPart& part, int64_t row, float* out);

}  // namespace braid
