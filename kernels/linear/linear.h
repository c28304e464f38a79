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
  kGelu,      // y = v / 2 * (1 + tanh(0.79788456 (v + 0.044715 v^3)))
  // The weight was packed as a pair, and y has half its rows as columns:
  kSiluGate,     // y[j] = silu(gate[j]) * up[j]
  kClampedGate,  // y[j] = g * sigmoid(1.702 g) * (u + 1), g = min(gate[j], 7), u = up[j] within -7..7
};

inline bool IsGated(Epilogue epilogue) {
  return epilogue == Epilogue::kSiluGate || epilogue == Epilogue::kClampedGate;
}

struct LinearArgs {
  TensorView x;                  // [tokens, in]
  const PackedWeight* weight;    // [out, in]
  const float* bias = nullptr;   // [out] or none; a pair's: gate's, then up's
  Epilogue epilogue = Epilogue::kStore;
  TensorView y;                  // [tokens, out]; [tokens, out / 2] of a pair
};

}  // namespace braid
