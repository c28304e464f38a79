#include "models/blocks/token_head.h"

namespace braid {

void TokenHead::Embed(Ops& op, const RaggedBatch& batch, TensorView x) const {
  if (place.alone()) {
    op.Embedding({.ids = batch.ids, .table = embedding.get(), .y = x});
  } else {
    const auto first_id = static_cast<int32_t>(borders[static_cast<size_t>(place.rank)]);
    op.Embedding({.ids = batch.ids, .table = embedding.get(), .y = x, .first_id = first_id});
    op.AllReduce({.x = x, .y = x});
  }
  if (!embedding_factors.empty()) op.Scale({.x = x, .factors = embedding_factors.data(), .y = x});
  if (!embedding_norm.weight.empty()) embedding_norm.Forward(op, x, x);
}

void TokenHead::FinalHidden(Ops& op, const RaggedBatch& batch, TensorView x, TensorView hidden) const {
  if (batch.logit_rows.empty()) return;
  op.GatherRows(x, batch.logit_rows, hidden);
  final_norm.Forward(op, hidden, hidden);
}

void TokenHead::Logits(Ops& op, TensorView hidden, TensorView logits) const {
  const PackedWeight* const weight = output != nullptr ? output.get() : embedding.get();
  if (place.alone()) return op.Linear({.x = hidden, .weight = weight, .y = logits});
  op.Linear({.x = hidden, .weight = weight, .y = logits.Columns(borders[static_cast<size_t>(place.rank)], weight->rows())});
  op.AllGather({.y = logits, .borders = borders, .to_first_only = true});
}

}  // namespace braid
