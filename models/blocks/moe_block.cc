#include "models/blocks/moe_block.h"

namespace braid {

MoeBlock BindMoe(const WeightLoader& w, const MoeConfig& moe, int hidden, MlpBias bias) {
  const int width = moe.latent_size.value_or(hidden);
  MoeBlock block{.config = moe,
                 .gate = w.KeepFloats("gate.weight", {Whole(moe.num_experts), Whole(hidden)}),
                 .selection_bias = w.KeepFloats("gate.e_score_correction_bias", {Whole(moe.num_experts)})};
  if (moe.latent_size) {
    block.to_latent = w.Matrix("fc1_latent_proj.weight", Whole(width), Whole(hidden));
    block.from_latent = w.Matrix("fc2_latent_proj.weight", Whole(hidden), Whole(width));
    if (bias == MlpBias::kBoth) block.to_latent_bias = w.KeepFloats("fc1_latent_proj.bias", {Whole(width)});
    if (bias == MlpBias::kBoth) block.from_latent_bias = w.KeepOnFirst("fc2_latent_proj.bias", {Whole(hidden)});
  }
  const Axis inner = ShardWidth(w, moe.intermediate_size, "experts.0.down_proj.weight");
  for (int e = 0; e < moe.num_experts; ++e) {
    const WeightLoader expert = w.Child(absl::StrCat("experts.", e, "."));
    block.AddExpert(expert.Matrix("up_proj.weight", inner, Whole(width)),
                    expert.Matrix("down_proj.weight", Whole(width), inner));
  }
  if (moe.shared_intermediate_size > 0) {
    block.shared = BindMlp(w.Child("shared_experts."), hidden, moe.shared_intermediate_size, bias);
  }
  return block;
}

void MoeBlock::AddExpert(Weight up_weight, Weight down_weight) {
  up.push_back(std::move(up_weight));
  down.push_back(std::move(down_weight));
  up_views.push_back(up.back().get());
  down_views.push_back(down.back().get());
}

// What comes back from the latent width is linear: each rank brings back its own part of the sum.
void MoeBlock::Forward(Ops& op, TensorView h, const Addend& out) const {
  Scratch::Scope scope(op.scratch());
  auto* expert_ids = op.scratch().Array<int32_t>(h.rows * config.top_k);
  auto* expert_weights = op.scratch().Array<float>(h.rows * config.top_k);
  op.Route({.x = h,
            .gate = gate.data(),
            .bias = selection_bias.data(),
            .experts = config.num_experts,
            .top_k = config.top_k,
            .groups = config.num_groups,
            .top_groups = config.top_k_groups,
            .normalize = config.norm_top_k_prob,
            .scale = config.routed_scaling_factor,
            .scoring = config.scoring,
            .logit_bias = gate_bias.data(),
            .expert_ids = expert_ids,
            .expert_weights = expert_weights});
  ExpertsArgs experts{.x = h,
                      .up = up_views,
                      .down = down_views,
                      .top_k = config.top_k,
                      .expert_ids = expert_ids,
                      .expert_weights = expert_weights,
                      .add = out.add,
                      .y = out.y,
                      .epilogue = epilogue,
                      .up_bias = up_bias.data(),
                      .down_bias = down_bias.data()};
  if (to_latent != nullptr) {
    const TensorView latent = op.scratch().Matrix(h.rows, to_latent->rows());
    const TensorView mixed = op.scratch().Matrix(h.rows, to_latent->rows());
    op.Linear({.x = h, .weight = to_latent.get(), .bias = to_latent_bias.data(), .y = latent});
    experts.x = latent;
    experts.add = false;
    experts.y = mixed;
    op.Experts(experts);
    op.Linear({.x = mixed,
               .weight = from_latent.get(),
               .bias = from_latent_bias.data(),
               .epilogue = out.epilogue(),
               .y = out.y});
  } else {
    op.Experts(experts);
  }
  if (shared.intermediate > 0) shared.Forward(op, h, {out.y, /*add=*/true});
}

}  // namespace braid
