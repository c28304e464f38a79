#include "models/blocks/attention_block.h"

#include <cmath>

namespace braid {

void AttentionBlock::Forward(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary,
                             TensorView h, TensorView x) const {
  Scratch::Scope scope(op.scratch());
  const TensorView projected = op.scratch().Matrix(h.rows, shape.qkv_size());
  const TensorView attended = op.scratch().Matrix(h.rows, shape.q_size());
  op.Linear({.x = h, .weight = qkv.get(), .bias = DataOrNull(qkv_bias), .y = projected});
  const TensorView q = projected.Columns(0, shape.q_size());
  op.RopeKvWrite({.q = q,
                  .k = projected.Columns(shape.q_size(), shape.kv_size()),
                  .v = projected.Columns(shape.q_size() + shape.kv_size(), shape.kv_size()),
                  .inverse_frequencies = rotary.inverse_frequencies,
                  .adjacent_pairs = rotary.adjacent_pairs,
                  .batch = &batch,
                  .cache = cache});
  op.Attention({.q = q,
                .heads = shape.heads,
                .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
                .batch = &batch,
                .cache = cache,
                .out = attended});
  op.Linear({.x = attended,
             .weight = output.get(),
             .bias = DataOrNull(output_bias),
             .epilogue = Epilogue::kAdd,
             .y = x});
}

}  // namespace braid
