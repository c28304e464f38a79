// Rotates Q and K by position (RoFormer, arXiv:2104.09864) and writes K and V of the step into the paged cache.
//   pair (a, b) at frequency i: a' = s (a cos(p f_i) - b sin(p f_i)), b' = s (b cos(p f_i) + a sin(p f_i))
// Pairs are (i, i + rotary/2), or (2i, 2i + 1) with adjacent_pairs. No frequencies: no rotation.
#pragma once

#include <span>

#include "kernels/attention/kv_layer.h"
#include "kernels/ragged_batch.h"
#include "kernels/tensor.h"

namespace braid {

struct RopeKvWriteArgs {
  TensorView q;                               // [tokens, heads * head_dim], rotated in place
  TensorView k;                               // [tokens, kv_heads * head_dim], read
  TensorView v;                               // [tokens, kv_heads * head_dim], read
  std::span<const float> inverse_frequencies; // [rotary / 2], rotary <= head_dim; empty: no rotation
  bool adjacent_pairs = false;
  float scale = 1.0f;                         // s: of the rotated pairs (YaRN, arXiv:2309.00071)
  const RaggedBatch* batch;
  KvLayer cache;
};

}  // namespace braid
