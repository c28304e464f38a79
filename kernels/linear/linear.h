// y = epilogue(x W^T + bias). W [out, in] lies packed in the backend's own layout.
// Every element of y is summed over `in` in one order, whatever the number of rows and threads: a row's bits
// do not depend on its company.
#pragma once

#include "kernels/packed_weight.h"
#include "kernels/tensor.h"

namespace braid {

enum class Epilogue {
  kStore,     // y = v
  kAdd,       // y += v           (residual)
  kRelu2,     // y = max(v, 0)^2
  kSiluGate,  // y[j] = silu(gate[j]) * up[j]; the weight was packed as a pair, y has half its rows as columns
};

struct LinearArgs {
  TensorView x;                  // [tokens, in]
  const PackedWeight* weight;    // [out, in]
  const float* bias = nullptr;   // [out] or none; not with kSiluGate
  Epilogue epilogue = Epilogue::kStore;
  TensorView y;                  // [tokens, out]; [tokens, out / 2] with kSiluGate
};

}  // namespace braid
