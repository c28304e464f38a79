// Products of rows with packed weights: what linear and moe launch. Rows come in tiles, each multiplied with one
// weight of a table (one weight: dense; many: a grouped product).
//
// One kernel for all row counts. Weights go from memory straight into B fragments in registers, 16 bytes a lane, each
// read once by a block; a warp owns 32 output columns. Up to 16 rows (decode): the warps of a block divide the inputs,
// rows are read as f32, bound by the weights' bytes. More rows: rows are first laid out as A fragments (PackRows) and
// staged in shared memory by cp.async for all warps of a block, bound by the tensor cores.
//
// Rows are sums of 1 or 3 bf16 terms, weights of as many as keep them; products of terms below 2^-24 are left out.
// With 3 terms a product has the accuracy of f32.
#pragma once

#include "kernels/cuda_step.h"
#include "kernels/linear/cuda_packed_weight.h"
#include "kernels/linear/linear.h"

struct uint4;

namespace braid::cuda {

// A tile's weight and rows: [first, first + rows) of the product.
struct GemmTile {
  int32_t expert, first, rows;
};

struct GemmArgs {
  CudaWeightSet set;
  const std::byte* base = nullptr;          // the weight, or
  const std::byte* const* bases = nullptr;  // [experts], all of this set's layout
  // Rows: row i of the product is row row_of[i] / row_divisor of x, or row i.
  const float* x = nullptr;
  int64_t x_stride = 0;
  const int32_t* row_of = nullptr;
  int32_t row_divisor = 1;
  int32_t rows = 0;                         // of a dense product
  bool grouped = false;
  const GemmTile* tiles = nullptr;          // of a grouped one, on the device
  const int32_t* num_tiles = nullptr;       // on the device
  int32_t max_tiles = 0;
  // Output: row i, columns from set.first_row (or half of it when gated).
  float* y = nullptr;
  int64_t y_stride = 0;
  Epilogue epilogue = Epilogue::kStore;
  const float* bias = nullptr;              // [experts][bias_stride], columns from set.first_row; or none
  int64_t bias_stride = 0;
  // Taken by Gemm.
  int32_t splits = 1;
  float* partial = nullptr;                 // [splits][rows][panels * 32]
  const uint4* packed_x = nullptr;          // [tiles of 16][chunks][2][terms][lanes]
};

// Rows of a tile for a product of `rows` rows in all with `experts` weights: 16, 64 or 128.
int TileRows(int64_t rows, int64_t experts);

// Blocks that divide the inputs of a dense product of `tiles` tiles, so that every processor has its fill of them.
int SplitsFor(int tile_rows, int64_t tiles, const CudaWeightSet& set, int processors);

// The most tiles that `rows` rows make when they fall to `experts` weights.
int64_t MaxTiles(int64_t rows, int64_t experts, int tile_rows);

// Takes scratch, and launches nothing while measuring. Gated epilogues want an interleaved set.
void Gemm(GemmArgs args, int tile_rows, Step& step);

// y = gate(rows[i], rows[inter + i]) of a product that could not be interleaved: [rows, 2 * inter] to [rows, inter].
void Gate(const float* both, int64_t both_stride, int64_t rows, int64_t inter, Epilogue epilogue, float* y,
          int64_t y_stride, Step& step);

}  // namespace braid::cuda
