#include "models/blocks/token_head.h"

namespace braid {

void TokenHead::Embed(Ops& op, const RaggedBatch& batch, TensorView x) const {
  op.Embedding({.ids = batch.ids, .table = embedding.get(), .y = x});
  if (!embedding_factors.empty()) op.Scale({.x = x, .factors = embedding_factors.data(), .y = x});
  if (!embedding_norm.weight.empty()) embedding_norm.Forward(op, x, x);
}

void TokenHead::FinalHidden(Ops& op, const RaggedBatch& batch, TensorView x, TensorView hidden) const {
  if (batch.logit_rows.empty()) return;
  op.GatherRows(x, batch.logit_rows, hidden);
  final_norm.Forward(op, hidden, hidden);
}

void TokenHead::Logits(Ops& op, TensorView hidden, TensorView logits) const {
  op.Linear({.x = hidden, .weight = output != nullptr ? output.get() : embedding.get(), .y = logits});
}

}  // namespace braid
