// Causal attention of a ragged batch over the paged cache; prompt chunks and decodes together.
//   out[t, h] = sum_s softmax_s(scale * q[t, h] . k[s, h / group] + slope[h] * (s - p)) v[s, h / group],
//   max(first, p - window + 1) <= s <= p, p the position of t.   Slopes: ALiBi, arXiv:2108.12409
// A sink is one more score of the softmax, with no value behind it (arXiv:2309.17453).
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
  int window = 0;                 // positions that a query sees, its own the last of them; 0: all
  int first = 0;                  // the first position that is seen; those before it see themselves alone
  const float* slopes = nullptr;  // [heads] or none
  const float* sinks = nullptr;   // [heads] or none
  const RaggedBatch* batch;
  KvLayer cache;
  TensorView out;     // [tokens, heads * head_dim]
};

}  // namespace braid
