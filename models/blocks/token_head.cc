#include "models/blocks/token_head.h"

namespace braid {

void TokenHead::Embed(Ops& op, const RaggedBatch& batch, TensorView x) const {
  op.Embedding({.ids = batch.ids, .table = embedding.get(), .y = x});
}

void TokenHead::FinalHidden(Ops& op, const RaggedBatch& batch, TensorView x, TensorView hidden) const {
  if (batch.logit_rows.empty()) return;
  op.GatherRows(x, batch.logit_rows, hidden);
  op.RmsNorm({.x = hidden, .weight = final_norm.data(), .eps = norm_eps, .y = hidden});
}

void TokenHead::Logits(Ops& op, TensorView hidden, TensorView logits) const {
  op.Linear({.x = hidden, .weight = output != nullptr ? output.get() : embedding.get(), .y = logits});
}

}  // namespace braid
