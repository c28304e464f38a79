// A weight matrix in its kernels' layout. Models hold it and pass it on; only kernels look inside.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace braid {

// Rows of a stored matrix [rows, cols] in a checkpoint's format.
struct WeightPart {
  DType dtype;
  int64_t rows;
  int64_t cols;
  std::span<const std::byte> bytes;  // row-major; block formats along cols
};

// What to pack: parts stacked along rows, all with the same cols. The bytes are read during Pack only.
struct WeightSource {
  std::vector<WeightPart> parts;
  // Two parts of equal rows, gate and up, laid side by side for Epilogue::kSiluGate.
  bool gate_up_pair = false;
};

class PackedWeight {
 public:
  PackedWeight(int64_t rows, int64_t cols) : rows_(rows), cols_(cols) {}
  virtual ~PackedWeight() = default;
  int64_t rows() const { return rows_; }  // out
  int64_t cols() const { return cols_; }  // in
  virtual int64_t bytes() const = 0;      // in memory

 private:
  int64_t rows_, cols_;
};

}  // namespace braid
