#include "models/blocks/mlp_block.h"

namespace braid {

void GatedMlpBlock::Forward(Ops& op, TensorView h, TensorView x) const {
  Scratch::Scope scope(op.scratch());
  const TensorView inner = op.scratch().Matrix(h.rows, intermediate);
  op.Linear({.x = h, .weight = gate_up.get(), .epilogue = Epilogue::kSiluGate, .y = inner});
  if (!factors.empty()) op.Scale({.x = inner, .factors = factors.data(), .y = inner});
  op.Linear({.x = inner, .weight = down.get(), .epilogue = Epilogue::kAdd, .y = x});
}

void MlpBlock::Forward(Ops& op, TensorView h, TensorView x) const {
  Scratch::Scope scope(op.scratch());
  const TensorView inner = op.scratch().Matrix(h.rows, intermediate);
  op.Linear({.x = h, .weight = up.get(), .bias = up_bias.data(), .epilogue = activation, .y = inner});
  op.Linear({.x = inner, .weight = down.get(), .bias = down_bias.data(), .epilogue = Epilogue::kAdd, .y = x});
}

GatedMlpBlock BindGatedMlp(const WeightLoader& w, int hidden, int intermediate) {
  return {.intermediate = intermediate,
          .gate_up = w.GateUp("gate_proj.weight", "up_proj.weight", intermediate, hidden),
          .down = w.Matrix("down_proj.weight", hidden, intermediate)};
}

MlpBlock BindMlp(const WeightLoader& w, int hidden, int intermediate, MlpBias bias) {
  MlpBlock mlp{.intermediate = intermediate,
               .up = w.Matrix("up_proj.weight", intermediate, hidden),
               .down = w.Matrix("down_proj.weight", hidden, intermediate)};
  if (bias == MlpBias::kNone) return mlp;
  mlp.up_bias = w.KeepFloats("up_proj.bias", {intermediate});
  mlp.down_bias = w.KeepFloats("down_proj.bias", {hidden});
  return mlp;
}

}  // namespace braid
