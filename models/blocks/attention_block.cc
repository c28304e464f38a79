#include "models/blocks/attention_block.h"

#include <cmath>

namespace braid {

// projected [tokens, q + k + v] = q with its positions, k, v; the latter two are in the cache as well
void AttentionBlock::Project(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary,
                             TensorView h, TensorView projected) const {
  op.Linear({.x = h, .weight = qkv.get(), .bias = qkv_bias.data(), .y = projected});
  if (!qkv_factors.empty()) op.Scale({.x = projected, .factors = qkv_factors.data(), .y = projected});
  const TensorView q = projected.Columns(0, shape.q_size());
  const TensorView k = projected.Columns(shape.q_size(), shape.kv_size());
  if (!q_norm.empty()) {
    op.RmsNorm({.x = q, .weight = q_norm.data(), .eps = norm_eps, .y = q, .groups = shape.heads});
    op.RmsNorm({.x = k, .weight = k_norm.data(), .eps = norm_eps, .y = k, .groups = shape.kv_heads});
  }
  op.RopeKvWrite({.q = q,
                  .k = k,
                  .v = projected.Columns(shape.q_size() + shape.kv_size(), shape.kv_size()),
                  .inverse_frequencies = rotary.inverse_frequencies.span(),
                  .adjacent_pairs = rotary.adjacent_pairs,
                  .scale = rotary.scale,
                  .batch = &batch,
                  .cache = cache});
}

void AttentionBlock::WriteKv(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary,
                             TensorView h) const {
  Scratch::Scope scope(op.scratch());
  Project(op, batch, cache, rotary, h, op.scratch().Matrix(h.rows, shape.qkv_size()));
}

void AttentionBlock::Forward(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary,
                             TensorView h, const Addend& out) const {
  Scratch::Scope scope(op.scratch());
  const TensorView projected = op.scratch().Matrix(h.rows, shape.qkv_size());
  const TensorView attended = op.scratch().Matrix(h.rows, shape.q_size());
  Project(op, batch, cache, rotary, h, projected);
  op.Attention({.q = projected.Columns(0, shape.q_size()),
                .heads = shape.heads,
                .scale = scale.value_or(1.0f / std::sqrt(static_cast<float>(shape.head_dim))),
                .window = window,
                .first = first,
                .slopes = slopes.data(),
                .sinks = sinks.data(),
                .batch = &batch,
                .cache = cache,
                .out = attended});
  op.Linear({.x = attended,
             .weight = output.get(),
             .bias = output_bias.data(),
             .epilogue = out.epilogue(),
             .y = out.y});
}

AttentionBlock BindAttention(const WeightLoader& w, const AttentionShape& shape, AttentionBiases biases,
                             const AttentionNames& names) {
  const AttentionShards shards = ShardAttention(w, shape);
  const auto rows_of = [&](const char* suffix) {
    return std::vector<RowsOf>{{absl::StrCat(names.q, suffix), shards.q},
                               {absl::StrCat(names.k, suffix), shards.kv},
                               {absl::StrCat(names.v, suffix), shards.kv}};
  };
  const Axis hidden = Whole(shape.hidden);
  AttentionBlock attention{.shape = shards.shape,
                           .qkv = w.Stack(rows_of(".weight"), hidden),
                           .output = w.Matrix(absl::StrCat(names.output, ".weight"), hidden, shards.q)};
  if (biases.qkv) attention.qkv_bias = w.Keep(w.FloatStack(rows_of(".bias")));
  if (biases.output) attention.output_bias = w.KeepOnFirst(absl::StrCat(names.output, ".bias"), {hidden});
  return attention;
}

}  // namespace braid
