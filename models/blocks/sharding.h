// The rules by which ranks share a model: what each keeps of attention, Mamba-2, MLPs, experts and vocabulary. A rank
// reads what its part of the heads or widths makes (rows), and multiplies it by the columns that read them; the sum of
// all ranks' products is what the whole layer adds to the residual (arXiv:1909.08053). What has neither heads nor widths
// every rank keeps whole.
#pragma once

#include <vector>

#include "models/blocks/attention_shape.h"
#include "models/blocks/weight_loader.h"
#include "models/cache_layout.h"
#include "models/model_config.h"

namespace braid {

// Heads are split evenly. Where there are fewer of K and V than ranks, ranks that share one have a copy each.
struct AttentionShards {
  AttentionShape shape;  // of this rank
  Axis heads, q, kv;     // heads; rows of the projections, and q also columns of the output
};
AttentionShards ShardAttention(const WeightLoader& w, const AttentionShape& whole);

// Heads are split evenly, and groups with them; ranks that share a group have a copy of its B and C each, and its norm
// goes over all of them.
struct MambaShards {
  MambaConfig config;        // of this rank
  Axis heads, inner;         // d_inner: gate, x, and what the output reads
  Axis in_proj, conv;        // gate | x | B | C | dt, and x | B | C
  bool shares_group = false;
  Axis norm;                 // of d_inner, channels that are normed with this rank's
  int64_t whole_inner = 0;   // d_inner of all ranks
};
MambaShards ShardMamba(const WeightLoader& w, const MambaConfig& whole);

// A width that `down`, the matrix that reads it, lets part at its blocks' borders: as even as those allow.
Axis ShardWidth(const WeightLoader& w, int64_t width, std::string_view down);

// Rows of the vocabulary.
std::vector<int64_t> VocabularyBorders(int64_t vocab_size, RankPlace place);
Axis ShardVocabulary(const WeightLoader& w, int64_t vocab_size);

// What a rank keeps of `whole`, whose heads the ranks can share.
CacheLayout ShardCache(CacheLayout whole, RankPlace place);

}  // namespace braid
