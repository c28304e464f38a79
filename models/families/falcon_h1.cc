#include "models/families/falcon_h1.h"

#include "models/families/hybrid.h"

namespace braid {
namespace {

// down(silu(g * gate(h)) * up(h)) * f: the norm before it makes g * h, so that up(h) comes g times too large.
DecoderLayer BindMlpLayer(const WeightLoader& w, const HybridConfig& c) {
  GatedMlpBlock mlp = BindGatedMlp(w.Child("feed_forward."), c.hidden_size, c.intermediate_size);
  mlp.factors = w.KeepFactors({{mlp.intermediate, c.mlp_factor / c.gate_factor}});
  return {BindRmsNorm(w, "pre_ff_layernorm", c.hidden_size, c.norm_eps, c.gate_factor), std::move(mlp)};
}

DecoderParts Bind(const WeightLoader& w, const HybridConfig& c) {
  const NormBinder norm = HybridNorm(c);
  const LayerBinder layer = [&](const WeightLoader& under, int, std::vector<DecoderLayer>& layers) {
    layers.push_back({norm(under, "input_layernorm"), BindMamba2(under.Child("mamba."), c.mamba, c.hidden_size, c.norm_eps)});
    layers.push_back({{}, BindHybridAttention(under.Child("self_attn."), c)});
    layers.push_back(BindMlpLayer(under, c));
  };
  return BindHybrid(w, c, {.final_norm = "model.final_layernorm"}, layer);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadFalconH1(const Checkpoint& checkpoint, Backend& backend,
                                                    const LoadProgress& progress) {
  return LoadHybrid(checkpoint, backend, progress, Bind);
}

}  // namespace braid
