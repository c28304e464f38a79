#include "models/families/granite.h"

#include "models/families/hybrid.h"

namespace braid {
namespace {

// Gates and ups lie in one matrix of each expert.
MoeBlock BindExperts(const WeightLoader& w, const HybridConfig& c) {
  const int experts = c.moe.num_experts, inner = c.moe.intermediate_size;
  MoeBlock block{.config = c.moe,
                 .gate = w.KeepFloats("router.layer.weight", {Whole(experts), Whole(c.hidden_size)}),
                 .epilogue = Epilogue::kSiluGate};
  const Axis mine = ShardWidth(w, inner, "output_linear.weight");
  for (int e = 0; e < experts && w.status().ok(); ++e) {
    block.AddExpert(w.ExpertGateUpStack("input_linear.weight", e, experts, mine, Whole(c.hidden_size)),
                    w.Expert("output_linear.weight", e, experts, Whole(c.hidden_size), mine));
  }
  return block;
}

GatedMlpBlock BindShared(const WeightLoader& w, const HybridConfig& c) {
  const Axis inner = ShardWidth(w, c.intermediate_size, "output_linear.weight"), hidden = Whole(c.hidden_size);
  return {.intermediate = inner.kept(),
          .gate_up = w.GateUpStack("input_linear.weight", inner, hidden),
          .down = w.Matrix("output_linear.weight", hidden, inner)};
}

// The experts and the MLP that all tokens see stand side by side behind one norm; a model may have either alone.
void BindFeedForward(const WeightLoader& w, const HybridConfig& c, Norm norm, std::vector<DecoderLayer>& layers) {
  if (c.model_type == "granite") {
    layers.push_back({std::move(norm), BindGatedMlp(w.Child("mlp."), c.hidden_size, c.intermediate_size)});
    return;
  }
  const bool experts = c.moe.num_experts > 0;
  if (experts) layers.push_back({std::move(norm), BindExperts(w.Child("block_sparse_moe."), c)});
  if (c.intermediate_size == 0) return;
  layers.push_back({experts ? Norm() : std::move(norm), BindShared(w.Child("shared_mlp."), c)});
}

DecoderParts Bind(const WeightLoader& w, const HybridConfig& c) {
  const NormBinder norm = HybridNorm(c);
  return BindHybrid(w, c, {}, [&](const WeightLoader& under, int i, std::vector<DecoderLayer>& layers) {
    layers.push_back({norm(under, "input_layernorm"), BindEitherMixer(under, c, i)});
    BindFeedForward(under, c, norm(under, "post_attention_layernorm"), layers);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadGranite(const Checkpoint& checkpoint, Backend& backend,
                                                   const LoadProgress& progress) {
  return LoadHybrid(checkpoint, backend, progress, Bind);
}

}  // namespace braid
