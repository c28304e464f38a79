#include "models/families/hybrid.h"

#include <algorithm>

namespace braid {
namespace {

ModelInfo InfoOf(const HybridConfig& c) {
  const int layers = static_cast<int>(c.layers.size());
  const int mambas = static_cast<int>(std::count(c.layers.begin(), c.layers.end(), LayerKind::kMamba));
  const int attentions = c.side_by_side ? layers : layers - mambas;
  ModelInfo info = DecoderInfo(c.model_type, c, {});
  const std::pair<const char*, int> counts[] = {{"mamba", mambas},
                                                {"attention", attentions},
                                                {"mlp", c.intermediate_size > 0 ? layers : 0},
                                                {"moe", c.moe.num_experts > 0 ? layers : 0}};
  for (const auto& [kind, count] : counts) {
    if (count > 0) info.layers_by_kind.emplace_back(kind, count);
  }
  info.cache.attention.assign(attentions, {c.num_kv_heads, c.head_dim});
  info.cache.mamba.assign(mambas, StateLayoutOf(c.mamba));
  return info;
}

}  // namespace

absl::StatusOr<ModelInfo> ReadHybridInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const HybridConfig config, ReadHybridConfig(checkpoint));
  return InfoOf(config);
}

NormBinder HybridNorm(const HybridConfig& c) {
  return [&c](const WeightLoader& w, const std::string& name) {
    return BindRmsNorm(w, name, c.hidden_size, c.norm_eps / (c.residual_factor * c.residual_factor));
  };
}

AttentionBlock BindHybridAttention(const WeightLoader& w, const HybridConfig& c) {
  AttentionBlock attention = BindAttention(w, {c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim},
                                           {.qkv = c.attention_bias, .output = c.attention_bias});
  const AttentionShape& shape = attention.shape;
  attention.qkv_factors = w.KeepFactors(
      {{shape.q_size(), c.query_factor}, {shape.kv_size(), c.key_factor}, {shape.kv_size(), c.value_factor}});
  attention.scale = c.score_scale;
  return attention;
}

Mixer BindEitherMixer(const WeightLoader& w, const HybridConfig& c, int index) {
  if (c.layers[index] == LayerKind::kAttention) return BindHybridAttention(w.Child("self_attn."), c);
  return BindMamba2(w.Child("mamba."), c.mamba, c.hidden_size, c.norm_eps);
}

DecoderParts BindHybrid(const WeightLoader& w, const HybridConfig& c, const DecoderNames& names,
                        const LayerBinder& layer) {
  const float residual = c.residual_factor;
  const auto final_norm = [&c, residual](const WeightLoader& under, const std::string& name) {
    return BindRmsNorm(under, name, c.hidden_size, c.norm_eps / (residual * residual), c.logits_factor);
  };
  DecoderParts parts = BindDecoder(w, ShapeOf(c, c.layers.size()), names, final_norm, layer);
  parts.head.embedding_factors = w.KeepFactors({{c.hidden_size, c.embedding_factor / residual}});
  parts.rotary = RotaryOf(w, c.rope, c.head_dim);
  return parts;
}

absl::StatusOr<std::unique_ptr<Model>> LoadHybrid(
    const Checkpoint& checkpoint, Backend& backend, const LoadProgress& progress,
    const std::function<DecoderParts(const WeightLoader&, const HybridConfig&)>& bind) {
  ASSIGN_OR_RETURN(const HybridConfig config, ReadHybridConfig(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config),
                     [&](const WeightLoader& w) { return bind(w, config); });
}

}  // namespace braid
