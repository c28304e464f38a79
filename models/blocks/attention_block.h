// Attention over the paged cache: qkv projection, positions, cache, output projection onto the residual.
#pragma once

#include "models/blocks/weight_loader.h"

namespace braid {

struct AttentionShape {
  int hidden = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int q_size() const { return heads * head_dim; }
  int kv_size() const { return kv_heads * head_dim; }
  int qkv_size() const { return q_size() + 2 * kv_size(); }
};

// How positions enter; no frequencies: not at all.
struct Rotary {
  std::vector<float> inverse_frequencies;
  bool adjacent_pairs = false;
};

struct AttentionBlock {
  AttentionShape shape;
  Weight qkv;                     // [q + k + v, hidden]
  std::vector<float> qkv_bias;    // empty: none
  Weight output;                  // [hidden, q]
  std::vector<float> output_bias;

  // x += attention(h). h [tokens, hidden] normed, x [tokens, hidden] residual.
  void Forward(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary, TensorView h,
               TensorView x) const;
};

inline const float* DataOrNull(const std::vector<float>& values) { return values.empty() ? nullptr : values.data(); }

}  // namespace braid
