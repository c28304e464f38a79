// Feed-forward blocks onto the residual: gated (SiLU) and plain (squared ReLU).
#pragma once

#include "models/blocks/weight_loader.h"

namespace braid {

// x += down(silu(gate(h)) * up(h))
struct GatedMlpBlock {
  int intermediate = 0;
  Weight gate_up;  // pair of [intermediate, hidden]
  Weight down;     // [hidden, intermediate]

  void Forward(Ops& op, TensorView h, TensorView x) const;
};

// x += down(max(up(h), 0)^2)
struct Relu2MlpBlock {
  int intermediate = 0;
  Weight up;    // [intermediate, hidden]
  Weight down;  // [hidden, intermediate]
  std::vector<float> up_bias, down_bias;  // empty: none

  void Forward(Ops& op, TensorView h, TensorView x) const;
};

}  // namespace braid
