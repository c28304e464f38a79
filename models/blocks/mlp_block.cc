#include "models/blocks/mlp_block.h"

namespace braid {

void GatedMlpBlock::Forward(Ops& op, TensorView h, TensorView x) const {
  Scratch::Scope scope(op.scratch());
  const TensorView inner = op.scratch().Matrix(h.rows, intermediate);
  op.Linear({.x = h, .weight = gate_up.get(), .epilogue = Epilogue::kSiluGate, .y = inner});
  op.Linear({.x = inner, .weight = down.get(), .epilogue = Epilogue::kAdd, .y = x});
}

void MlpBlock::Forward(Ops& op, TensorView h, TensorView x) const {
  Scratch::Scope scope(op.scratch());
  const TensorView inner = op.scratch().Matrix(h.rows, intermediate);
  op.Linear({.x = h, .weight = up.get(), .bias = DataOrNull(up_bias), .epilogue = activation, .y = inner});
  op.Linear({.x = inner, .weight = down.get(), .bias = DataOrNull(down_bias), .epilogue = Epilogue::kAdd, .y = x});
}

}  // namespace braid
