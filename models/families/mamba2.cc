#include "models/families/mamba2.h"

#include "models/blocks/decoder.h"

namespace braid {
namespace {

ModelInfo InfoOf(const Mamba2Config& c) {
  ModelInfo info{.family = "mamba2",
                 .layers_by_kind = {{"mamba", c.num_layers}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  info.cache.mamba.assign(c.num_layers, StateLayoutOf(c.mamba));
  return info;
}

Norm BindNorm(const WeightLoader& w, const char* name, const Mamba2Config& c) {
  return {.weight = w.KeepFloats(name, {c.hidden_size}), .bias = {}, .eps = c.norm_eps};
}

DecoderParts Bind(const WeightLoader& w, const Mamba2Config& c) {
  const WeightLoader body = w.Child(w.Has("model.embeddings.weight") ? "model." : "backbone.");
  DecoderParts parts{.head = {.embedding = body.Matrix("embeddings.weight", c.vocab_size, c.hidden_size),
                              .embedding_norm = {},
                              .final_norm = BindNorm(body, "norm_f.weight", c),
                              .output = {}},
                     .rotary = {},
                     .layers = {}};
  if (!c.tie_word_embeddings) parts.head.output = w.Matrix("lm_head.weight", c.vocab_size, c.hidden_size);
  for (int i = 0; i < c.num_layers && w.status().ok(); ++i) {
    const WeightLoader layer = body.Child(absl::StrCat("layers.", i, "."));
    parts.layers.push_back({BindNorm(layer, "norm.weight", c), BindMamba2(layer.Child("mixer."), c.mamba, c.hidden_size, c.norm_eps)});
  }
  return parts;
}

}  // namespace

absl::StatusOr<ModelInfo> ReadMamba2Info(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const Mamba2Config config, ReadMamba2Config(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadMamba2(const Checkpoint& checkpoint, Backend& backend,
                                                  const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const Mamba2Config config, ReadMamba2Config(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
