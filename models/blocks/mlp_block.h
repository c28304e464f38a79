// Feed-forward blocks onto the residual: gated (SiLU) and plain (squared ReLU, GELU).
#pragma once

#include "models/blocks/addend.h"
#include "models/blocks/sharding.h"

namespace braid {

// out gets down(silu(gate(h)) * up(h) * factors)
struct GatedMlpBlock {
  int64_t intermediate = 0;  // of this rank
  Weight gate_up;  // pair of [intermediate, hidden]
  Weight down;     // [hidden, intermediate]
  Parameter factors = {};  // [intermediate]; empty: none

  void Forward(Ops& op, TensorView h, const Addend& out) const;
};

// out gets down(activation(up(h)))
struct MlpBlock {
  int64_t intermediate = 0;  // of this rank
  Weight up;    // [intermediate, hidden]
  Weight down;  // [hidden, intermediate]
  Parameter up_bias, down_bias;  // empty: none
  Epilogue activation = Epilogue::kRelu2;

  void Forward(Ops& op, TensorView h, const Addend& out) const;
};

struct GatedMlpNames {
  const char *gate = "gate_proj.weight", *up = "up_proj.weight", *down = "down_proj.weight";
};

// Reads gate, up and down under `w`.
GatedMlpBlock BindGatedMlp(const WeightLoader& w, int hidden, int intermediate, const GatedMlpNames& names = {});

// out gets weight h, of which a rank multiplies its part of h.
struct MatrixBlock {
  int64_t first = 0;  // of the columns of h
  Weight weight;      // [hidden, columns]

  void Forward(Ops& op, TensorView h, const Addend& out) const {
    op.Linear({.x = h.Columns(first, weight->cols()), .weight = weight.get(), .epilogue = out.epilogue(), .y = out.y});
  }
};

// Reads the matrix `name` [rows, cols] under `w`, by columns.
MatrixBlock BindMatrix(const WeightLoader& w, std::string_view name, int64_t rows, int64_t cols);

enum class MlpBias { kNone, kBoth };

struct MlpNames {
  const char *up = "up_proj", *down = "down_proj";
};

// Reads up and down, weights and biases, under `w`.
MlpBlock BindMlp(const WeightLoader& w, int hidden, int intermediate, MlpBias bias, const MlpNames& names = {});

}  // namespace braid
