#include "models/blocks/mlp_block.h"

namespace braid {

void GatedMlpBlock::Forward(Ops& op, TensorView h, const Addend& out) const {
  Scratch::Scope scope(op.scratch());
  const TensorView inner = op.scratch().Matrix(h.rows, intermediate);
  op.Linear({.x = h, .weight = gate_up.get(), .epilogue = Epilogue::kSiluGate, .y = inner});
  if (!factors.empty()) op.Scale({.x = inner, .factors = factors.data(), .y = inner});
  op.Linear({.x = inner, .weight = down.get(), .epilogue = out.epilogue(), .y = out.y});
}

void MlpBlock::Forward(Ops& op, TensorView h, const Addend& out) const {
  Scratch::Scope scope(op.scratch());
  const TensorView inner = op.scratch().Matrix(h.rows, intermediate);
  op.Linear({.x = h, .weight = up.get(), .bias = up_bias.data(), .epilogue = activation, .y = inner});
  op.Linear({.x = inner, .weight = down.get(), .bias = down_bias.data(), .epilogue = out.epilogue(), .y = out.y});
}

GatedMlpBlock BindGatedMlp(const WeightLoader& w, int hidden, int intermediate, const GatedMlpNames& names) {
  const Axis inner = ShardWidth(w, intermediate, names.down);
  return {.intermediate = inner.kept(),
          .gate_up = w.GateUp(names.gate, names.up, inner, Whole(hidden)),
          .down = w.Matrix(names.down, Whole(hidden), inner)};
}

MatrixBlock BindMatrix(const WeightLoader& w, std::string_view name, int64_t rows, int64_t cols) {
  const Axis mine = ShardWidth(w, cols, name);
  return {.first = mine.runs()[0].begin, .weight = w.Matrix(name, Whole(rows), mine)};
}

MlpBlock BindMlp(const WeightLoader& w, int hidden, int intermediate, MlpBias bias, const MlpNames& names) {
  const std::string up = names.up, down = names.down;
  const Axis inner = ShardWidth(w, intermediate, down + ".weight");
  MlpBlock mlp{.intermediate = inner.kept(),
               .up = w.Matrix(up + ".weight", inner, Whole(hidden)),
               .down = w.Matrix(down + ".weight", Whole(hidden), inner)};
  if (bias == MlpBias::kNone) return mlp;
  mlp.up_bias = w.KeepFloats(up + ".bias", {inner});
  mlp.down_bias = w.KeepOnFirst(down + ".bias", {Whole(hidden)});
  return mlp;
}

}  // namespace braid
