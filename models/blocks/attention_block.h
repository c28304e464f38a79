// Attention over the paged cache: qkv projection, positions, cache, output projection onto the residual.
#pragma once

#include <optional>

#include "models/blocks/addend.h"
#include "models/blocks/attention_shape.h"
#include "models/blocks/sharding.h"
#include "models/rope_config.h"

namespace braid {

// How positions enter; no frequencies: not at all.
struct Rotary {
  Parameter inverse_frequencies;
  bool adjacent_pairs = false;
  float scale = 1.0f;  // of what rotates
};

inline Rotary RotaryOf(const WeightLoader& w, const RopeConfig& rope, int head_dim) {
  if (rope.kind == RopeKind::kNone) return {};
  const int rotary_dim = static_cast<int>(rope.partial * static_cast<float>(head_dim));
  return {w.Keep(InverseFrequencies(rope, rotary_dim)), rope.adjacent_pairs, rope.attention_factor};
}

struct AttentionBlock {
  AttentionShape shape;            // of this rank
  Weight qkv;                     // [q + k + v, hidden]
  Parameter qkv_bias;    // empty: none
  Parameter qkv_factors;          // [q + k + v], of what was projected; empty: none
  Weight output;                  // [hidden, q]
  Parameter output_bias;
  Parameter q_norm, k_norm;  // [head_dim] of each head, before positions; empty: none
  float norm_eps = 1e-5f;
  std::optional<float> scale;         // of the scores; 1 / sqrt(head_dim) when absent
  int window = 0;                     // positions that a query sees; 0: all
  int first = 0;                      // the first position that is seen (attention.h)
  Parameter slopes, sinks;            // [heads]; empty: none

  // out gets attention(h). h [tokens, hidden] normed.
  void Forward(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary, TensorView h,
               const Addend& out) const;
  // Writes the K and V of h alone.
  void WriteKv(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary, TensorView h) const;

 private:
  void Project(Ops& op, const RaggedBatch& batch, const KvLayer& cache, const Rotary& rotary, TensorView h,
               TensorView projected) const;
};

// What the four projections are called, and which of them have biases.
struct AttentionNames {
  const char *q = "q_proj", *k = "k_proj", *v = "v_proj", *output = "o_proj";
};
struct AttentionBiases {
  bool qkv = false, output = false;
};

// Reads NAME.weight, and NAME.bias where there are biases, under `w`. `shape`: of the whole model.
AttentionBlock BindAttention(const WeightLoader& w, const AttentionShape& shape, AttentionBiases biases,
                             const AttentionNames& names = {});

}  // namespace braid
