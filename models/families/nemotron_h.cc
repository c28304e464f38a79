#include "models/families/nemotron_h.h"

#include <algorithm>
#include <map>

#include "kernels/base/errors.h"
#include "models/families/nemotron_h_mtp.h"

namespace braid {
namespace {

Mixer BindMixer(const WeightLoader& w, const NemotronHConfig& c, LayerKind kind, int ordinal) {
  const MlpBias bias = c.mlp.bias ? MlpBias::kBoth : MlpBias::kNone;
  switch (kind) {
    case LayerKind::kMamba: return BindMamba2(w, c.mamba, c.hidden_size, c.norm_eps);
    case LayerKind::kAttention:
      return BindAttention(w, {c.hidden_size, c.attention.num_heads, c.attention.num_kv_heads, c.attention.head_dim}, {});
    case LayerKind::kMlp: return BindMlp(w, c.hidden_size, c.mlp.intermediate_sizes[ordinal], bias);
    case LayerKind::kMoe: return BindMoe(w, c.moes[ordinal], c.hidden_size, bias);
  }
  CHECK(false) << static_cast<int>(kind);
}

int CountOf(const NemotronHConfig& c, LayerKind kind) {
  return static_cast<int>(std::count(c.layers.begin(), c.layers.end(), kind));
}

ModelInfo InfoOf(const Checkpoint& checkpoint, const NemotronHConfig& c) {
  ModelInfo info = DecoderInfo(c.model_type, c, {{"mamba", CountOf(c, LayerKind::kMamba)},
                                                 {"attention", CountOf(c, LayerKind::kAttention)},
                                                 {"mlp", CountOf(c, LayerKind::kMlp)},
                                                 {"moe", CountOf(c, LayerKind::kMoe)}});
  info.cache.attention.assign(CountOf(c, LayerKind::kAttention), {c.attention.num_kv_heads, c.attention.head_dim});
  info.cache.mamba.assign(CountOf(c, LayerKind::kMamba), StateLayoutOf(c.mamba));
  info.draft_head = NemotronHMtpCache(checkpoint, c);
  return info;
}

// No positional encoding: an empty Rotary.
DecoderParts Bind(const WeightLoader& w, const NemotronHConfig& c) {
  const auto norm = [&c](const WeightLoader& under, const std::string& name) {
    return BindRmsNorm(under, name, c.hidden_size, c.norm_eps);
  };
  std::map<LayerKind, int> ordinals;
  const LayerBinder layer = [&](const WeightLoader& under, int i, std::vector<DecoderLayer>& layers) {
    layers.push_back(BindNemotronHLayer(under, c, c.layers[i], ordinals[c.layers[i]]++));
  };
  return BindDecoder(w, ShapeOf(c, c.layers.size()), DecoderNames::Backbone(w), norm, layer);
}

}  // namespace

DecoderLayer BindNemotronHLayer(const WeightLoader& w, const NemotronHConfig& config, LayerKind kind, int ordinal) {
  return {BindRmsNorm(w, "norm", config.hidden_size, config.norm_eps), BindMixer(w.Child("mixer."), config, kind, ordinal)};
}

absl::StatusOr<ModelInfo> ReadNemotronHInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const NemotronHConfig config, ReadNemotronHConfig(checkpoint));
  return InfoOf(checkpoint, config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadNemotronH(const Checkpoint& checkpoint, Backend& backend,
                                                     const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const NemotronHConfig config, ReadNemotronHConfig(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(checkpoint, config),
                     [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
