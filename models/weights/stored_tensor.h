// One tensor as a file holds it.
#pragma once

#include <cstddef>
#include <span>

#include "kernels/tensor.h"

namespace braid {

struct StoredTensor {
  DType dtype = DType::kF32;
  Shape shape;                       // outermost dimension first; empty for a scalar
  std::span<const std::byte> bytes;  // borrowed from the mapped file; row-major, possibly unaligned
};

}  // namespace braid
