// y[t][j] = x[t][j] * factors[j]: the multipliers of maximal update parametrization (arXiv:2203.03466).
#pragma once

#include "kernels/tensor.h"

namespace braid {

struct ScaleArgs {
  TensorView x;          // [tokens, width], rows may be strided
  const float* factors;  // [width]
  TensorView y;          // [tokens, width], may be x
};

}  // namespace braid
