#include "models/families/nemotron.h"

#include "models/blocks/decoder.h"
#include "models/families/llama.h"

namespace braid {
namespace {

// LayerNorm1P: what is stored is the weight's distance from one.
Norm BindNorm(const WeightLoader& w, const std::string& name, const LlamaConfig& c) {
  std::vector<float> weight = w.Floats(name + ".weight", {c.hidden_size});
  for (float& value : weight) value += 1.0f;
  return {.weight = w.Keep(weight), .bias = w.KeepFloats(name + ".bias", {c.hidden_size}), .eps = c.rms_norm_eps};
}

DecoderParts Bind(const WeightLoader& w, const LlamaConfig& c) {
  const AttentionShape shape{c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim};
  const AttentionBiases biases{.qkv = c.attention_bias, .output = c.output_bias};
  DecoderParts parts{.head = {.embedding = w.Matrix("model.embed_tokens.weight", c.vocab_size, c.hidden_size),
                              .embedding_norm = {},
                              .final_norm = BindNorm(w, "model.norm", c),
                              .output = {}},
                     .rotary = RotaryOf(w, c.rope, c.head_dim),
                     .layers = {}};
  if (!c.tie_word_embeddings) parts.head.output = w.Matrix("lm_head.weight", c.vocab_size, c.hidden_size);
  for (int i = 0; i < c.num_layers && w.status().ok(); ++i) {
    const WeightLoader layer = w.Child(absl::StrCat("model.layers.", i, "."));
    parts.layers.push_back({BindNorm(layer, "input_layernorm", c), BindAttention(layer.Child("self_attn."), shape, biases)});
    parts.layers.push_back({BindNorm(layer, "post_attention_layernorm", c),
                            BindMlp(layer.Child("mlp."), c.hidden_size, c.intermediate_size,
                                    c.mlp_bias ? MlpBias::kBoth : MlpBias::kNone)});
  }
  return parts;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadNemotron(const Checkpoint& checkpoint, Backend& backend,
                                                    const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
