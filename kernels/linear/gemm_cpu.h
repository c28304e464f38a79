// Rows times a packed weight: what linear and the experts share. Compiled once per instruction set.
#pragma once

#include "kernels/base/team.h"
#include "kernels/linear/cpu_packed_weight.h"
#include "kernels/linear/linear.h"
#include "kernels/scratch.h"

namespace braid::cpu {

// 32 activations of one row as the block formats want them: 16-bit codes in two planes of bytes, so that what is lost
// beside 4-bit weights is their own rounding alone (8-bit codes turn SmolLM2's logits by up to half a nat).
struct QuantizedBlock {
  int8_t high[kBlockCols];     // -127..127
  int8_t low[kBlockCols];      // -128..127
  float scale;                 // x = scale * code, code = 256 * high + low
  float scaled_sum;            // scale * sum of codes
  int32_t minus_8_sums;        // -8 * sum of codes: weight codes have their zero at a multiple of 4
  int32_t minus_8_first_sums;  // the same of the first 16
};
static_assert(sizeof(QuantizedBlock) == 80);

// Rows of a tile lie side by side, block by block: tile t of `rows` <= 8 rows is [blocks][rows], after 8 * t rows.
inline constexpr int kRowTile = 8;

// The left side of a product.
struct GemmInput {
  TensorView x;                             // read where the weight has plain parts
  const QuantizedBlock* blocks = nullptr;   // read where it has parts of block formats
};

// Where products go: y = epilogue(v + bias), as in linear.h.
struct GemmOutput {
  TensorView y;
  Epilogue epilogue = Epilogue::kStore;
  const float* bias = nullptr;
};

namespace BRAID_ISA {

// Quantises `row` of `count` floats as row `index` of `rows` at `blocks`, zeros behind the last. Values that are not
// finite make the scale NaN.
void QuantizeRow(const float* row, int64_t count, int64_t index, int64_t rows, QuantizedBlock* blocks);

// This member's share of the product. Reads all of `input`; the members' outputs do not overlap. Does not wait.
void Gemm(const GemmInput& input, const CpuPackedWeight& weight, const GemmOutput& output, const Share& share);

}  // namespace BRAID_ISA
}  // namespace braid::cpu
