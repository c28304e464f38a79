// A weight matrix in its kernels' layout. Models hold it and pass it on; only kernels look inside.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "kernels/tensor.h"

namespace braid {

// Scales that lie beside the codes of F8_E4M3, NVFP4 and MXFP4; the other formats carry theirs or need none.
struct WeightScales {
  DType dtype = DType::kF32;         // F32, F16, BF16 for F8_E4M3; F8_E4M3 for NVFP4; F8_E8M0 for MXFP4
  int64_t block_rows = 0;            // weights [block_rows, block_cols] share a scale; 0: there is only `global`
  int64_t block_cols = 0;            // 16 for NVFP4, 32 for MXFP4, both with block_rows 1
  std::span<const std::byte> bytes;  // row-major [ceil(rows / block_rows), ceil(cols / block_cols)]
  float global = 1.0f;               // multiplies all
};

// Rows of a stored matrix [rows, cols] in a checkpoint's format.
struct WeightPart {
  DType dtype;
  int64_t rows;
  int64_t cols;
  std::span<const std::byte> bytes;  // row-major; block formats along cols
  WeightScales scales = {};
};

// What to pack: parts stacked along rows, all with the same cols. The bytes are read during Pack only.
struct WeightSource {
  std::vector<WeightPart> parts;
  // Two parts of equal rows, gate and up, laid side by side for Epilogue::kSiluGate.
  bool gate_up_pair = false;
  // Column k multiplies input input_order[k], a permutation; empty: input k. Block formats alone may be so ordered.
  std::vector<int32_t> input_order = {};
};

class PackedWeight {
 public:
  PackedWeight(int64_t rows, int64_t cols, std::vector<int32_t> input_order = {})
      : rows_(rows), cols_(cols), input_order_(std::move(input_order)) {}
  virtual ~PackedWeight() = default;
  int64_t rows() const { return rows_; }  // out
  int64_t cols() const { return cols_; }  // in
  virtual int64_t bytes() const = 0;      // in memory
  // The inputs of the columns, which Linear gathers first; empty: as they come. Other operations want that.
  std::span<const int32_t> input_order() const { return input_order_; }

 private:
  int64_t rows_, cols_;
  std::vector<int32_t> input_order_;
};

}  // namespace braid
