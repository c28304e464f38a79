// Mamba-2 mixer onto the residual: in-projection (gate | x B C | dt), convolution, state space, gated group norm,
// out-projection.
#pragma once

#include <optional>
#include <vector>

#include "models/blocks/addend.h"
#include "models/blocks/sharding.h"
#include "models/model_config.h"

namespace braid {

struct Mamba2Block {
  MambaConfig config;                  // of this rank
  float norm_eps = 1e-5f;
  Weight in_proj;                      // [d_inner + conv_dim + heads, hidden]
  Parameter in_proj_bias;     // empty: none
  Parameter in_factors;       // [d_inner + conv_dim + heads], of what was projected; empty: none
  Parameter conv_weight;      // [conv_dim, K]
  Parameter conv_bias;        // empty: none
  Parameter a, d, dt_bias;    // [heads]; a = -exp(A_log)
  Parameter norm_weight;      // [d_inner], of a shared group all of its channels; without a norm, factors
  Weight out_proj;                     // [hidden, d_inner]
  Parameter out_proj_bias;

  // Of a group that several ranks share; absent where they share none.
  struct SharedGroup {
    std::vector<int64_t> borders;      // [ranks + 1] of d_inner
    int64_t mine = 0;                  // the first channel of this rank
    int64_t first = 0, size = 0;       // channels of the group
    Parameter ones;                    // [d_inner of this rank]
  };
  std::optional<SharedGroup> shared_group;

  // out gets mamba2(h). h [tokens, hidden] normed.
  void Forward(Ops& op, const RaggedBatch& batch, const MambaStateLayout& layout, const StateLayer& state, TensorView h,
               const Addend& out) const;

 private:
  TensorView Normalize(Ops& op, TensorView y, TensorView gate) const;
  TensorView NormalizeShared(Ops& op, TensorView y, TensorView gate) const;
};

// Reads the block's tensors ("in_proj.weight", "A_log", ...) under `w`.
Mamba2Block BindMamba2(const WeightLoader& w, const MambaConfig& mamba, int hidden_size, float norm_eps);

MambaStateLayout StateLayoutOf(const MambaConfig& config);

}  // namespace braid
