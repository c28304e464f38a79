// Feed-forward blocks onto the residual: gated (SiLU) and plain (squared ReLU, GELU).
#pragma once

#include "models/blocks/weight_loader.h"

namespace braid {

// x += down(silu(gate(h)) * up(h) * factors)
struct GatedMlpBlock {
  int intermediate = 0;
  Weight gate_up;  // pair of [intermediate, hidden]
  Weight down;     // [hidden, intermediate]
  Parameter factors = {};  // [intermediate]; empty: none

  void Forward(Ops& op, TensorView h, TensorView x) const;
};

// x += down(activation(up(h)))
struct MlpBlock {
  int intermediate = 0;
  Weight up;    // [intermediate, hidden]
  Weight down;  // [hidden, intermediate]
  Parameter up_bias, down_bias;  // empty: none
  Epilogue activation = Epilogue::kRelu2;

  void Forward(Ops& op, TensorView h, TensorView x) const;
};

// Reads gate_proj, up_proj and down_proj under `w`.
GatedMlpBlock BindGatedMlp(const WeightLoader& w, int hidden, int intermediate);

// x += weight h
struct MatrixBlock {
  Weight weight;  // [hidden, hidden]

  void Forward(Ops& op, TensorView h, TensorView x) const {
    op.Linear({.x = h, .weight = weight.get(), .epilogue = Epilogue::kAdd, .y = x});
  }
};

enum class MlpBias { kNone, kBoth };

// Reads up_proj and down_proj, weights and biases, under `w`.
MlpBlock BindMlp(const WeightLoader& w, int hidden, int intermediate, MlpBias bias);

}  // namespace braid
