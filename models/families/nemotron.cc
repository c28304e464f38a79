#include "models/families/nemotron.h"

#include "models/families/llama.h"

namespace braid {
namespace {

// LayerNorm1P: what is stored is the weight's distance from one.
Norm BindNorm(const WeightLoader& w, const std::string& name, const LlamaConfig& c) {
  std::vector<float> weight = w.Floats(name + ".weight", {Whole(c.hidden_size)});
  for (float& value : weight) value += 1.0f;
  return {.weight = w.Keep(weight), .bias = w.KeepFloats(name + ".bias", {Whole(c.hidden_size)}), .eps = c.rms_norm_eps};
}

DecoderParts Bind(const WeightLoader& w, const LlamaConfig& c) {
  const AttentionShape shape{c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim};
  const AttentionBiases biases{.qkv = c.attention_bias, .output = c.output_bias};
  const auto norm = [&c](const WeightLoader& under, const std::string& name) { return BindNorm(under, name, c); };
  return BindLlama(w, c, {}, norm, [&](const WeightLoader& layer, int) {
    return MixerPair{BindAttention(layer.Child("self_attn."), shape, biases),
                     BindMlp(layer.Child("mlp."), c.hidden_size, c.intermediate_size,
                             c.mlp_bias ? MlpBias::kBoth : MlpBias::kNone)};
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadNemotron(const Checkpoint& checkpoint, Backend& backend,
                                                    const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
