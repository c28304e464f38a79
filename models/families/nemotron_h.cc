#include "models/families/nemotron_h.h"

#include <algorithm>

#include "kernels/base/errors.h"
#include "models/families/nemotron_h_mtp.h"

namespace braid {
namespace {

Mixer BindMixer(const WeightLoader& w, const NemotronHConfig& c, LayerKind kind, int mlp_ordinal) {
  switch (kind) {
    case LayerKind::kMamba: return BindMamba2(w, c.mamba, c.hidden_size, c.norm_eps);
    case LayerKind::kAttention:
      return BindAttention(w, {c.hidden_size, c.attention.num_heads, c.attention.num_kv_heads, c.attention.head_dim}, {});
    case LayerKind::kMlp:
      return BindMlp(w, c.hidden_size, c.mlp.intermediate_sizes[mlp_ordinal], c.mlp.bias ? MlpBias::kBoth : MlpBias::kNone);
    case LayerKind::kMoe: return BindMoe(w, c);
  }
  CHECK(false) << static_cast<int>(kind);
}

int CountOf(const NemotronHConfig& c, LayerKind kind) {
  return static_cast<int>(std::count(c.layers.begin(), c.layers.end(), kind));
}

ModelInfo InfoOf(const Checkpoint& checkpoint, const NemotronHConfig& c) {
  ModelInfo info{.family = "nemotron_h",
                 .layers_by_kind = {{"mamba", CountOf(c, LayerKind::kMamba)},
                                    {"attention", CountOf(c, LayerKind::kAttention)},
                                    {"mlp", CountOf(c, LayerKind::kMlp)},
                                    {"moe", CountOf(c, LayerKind::kMoe)}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  info.cache.attention.assign(CountOf(c, LayerKind::kAttention), {c.attention.num_kv_heads, c.attention.head_dim});
  info.cache.mamba.assign(CountOf(c, LayerKind::kMamba), StateLayoutOf(c.mamba));
  info.draft_head = NemotronHMtpCache(checkpoint, c);
  return info;
}

// No positional encoding: an empty Rotary.
DecoderParts Bind(const WeightLoader& w, const NemotronHConfig& c) {
  // Published files say "backbone."; what transformers holds in memory, and some write, is "model.".
  const WeightLoader body = w.Child(w.Has("model.embeddings.weight") ? "model." : "backbone.");
  DecoderParts parts{.head = {.embedding = body.Matrix("embeddings.weight", c.vocab_size, c.hidden_size),
                              .embedding_norm = {},
                              .final_norm = BindNemotronHNorm(body, "norm_f.weight", c),
                              .output = {}},
                     .rotary = {},
                     .layers = {}};
  if (!c.tie_word_embeddings) parts.head.output = w.Matrix("lm_head.weight", c.vocab_size, c.hidden_size);
  int mlps = 0;
  for (size_t i = 0; i < c.layers.size() && w.status().ok(); ++i) {
    const WeightLoader layer = body.Child(absl::StrCat("layers.", i, "."));
    const int ordinal = c.layers[i] == LayerKind::kMlp ? mlps++ : 0;
    parts.layers.push_back(BindNemotronHLayer(layer, c, c.layers[i], ordinal));
  }
  return parts;
}

}  // namespace

Norm BindNemotronHNorm(const WeightLoader& w, const char* name, const NemotronHConfig& config) {
  return {.weight = w.KeepFloats(name, {config.hidden_size}), .bias = {}, .eps = config.norm_eps};
}

DecoderLayer BindNemotronHLayer(const WeightLoader& w, const NemotronHConfig& config, LayerKind kind, int mlp) {
  return {BindNemotronHNorm(w, "norm.weight", config), BindMixer(w.Child("mixer."), config, kind, mlp)};
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
