// Causal attention of a ragged batch over the paged cache; prompt chunks and decodes together.
//   out[t, h] = sum_s softmax_s(scale * q[t, h] . k[s, h / group]) v[s, h / group],  s <= position of t
// Runs over KV tiles at absolute positions with an online softmax (arXiv:2112.05682), so that a row's bits do not
// depend on how its prompt was cut. K and V of the step must have been written (rope_kv_write).
#pragma once

#include "kernels/attention/kv_layer.h"
#include "kernels/ragged_batch.h"
#include "kernels/tensor.h"

namespace braid {

struct AttentionArgs {
  TensorView q;       // [tokens, heads * head_dim], rows may be strided
  int heads;          // a multiple of cache.kv_heads
  float scale;
  const RaggedBatch* batch;
  KvLayer cache;
  TensorView out;     // [tokens, heads * head_dim]
};

}  // namespace braid
