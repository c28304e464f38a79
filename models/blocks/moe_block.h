// Mixture of experts onto the residual: router, routed experts (in a latent width if the model has one),
// and a shared expert that sees every token.
#pragma once

#include "models/blocks/mlp_block.h"
#include "models/model_config.h"

namespace braid {

struct MoeBlock {
  MoeConfig config;
  Parameter gate;             // [experts, hidden]
  Parameter gate_bias;        // [experts], of the logits; empty: none
  Parameter selection_bias;   // [experts], for choosing only; empty: none
  Weight to_latent, from_latent;       // [latent, hidden], [hidden, latent]; null without latent
  Parameter to_latent_bias, from_latent_bias;
  Epilogue epilogue = Epilogue::kRelu2;
  std::vector<Weight> up, down;        // per expert [inter, width] (a pair of them for a gate), [width, inter]; of each
                                       // expert a rank has a part of its inter
  std::vector<const PackedWeight*> up_views, down_views;
  Parameter up_bias, down_bias;  // [experts, rows]; empty: none

  // Takes the next expert.
  void AddExpert(Weight up_weight, Weight down_weight);
  MlpBlock shared;                // intermediate 0: none

  // out gets experts(h) + shared(h). h [tokens, hidden] normed.
  void Forward(Ops& op, TensorView h, const Addend& out) const;
};

// Reads the block's tensors ("gate.weight", "experts.0.up_proj.weight", ...) under `w`. `bias`: of the shared expert and
// the latent projections.
MoeBlock BindMoe(const WeightLoader& w, const MoeConfig& moe, int hidden, MlpBias bias);

}  // namespace braid
