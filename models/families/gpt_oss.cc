#include "models/families/gpt_oss.h"

#include "models/families/llama.h"

namespace braid {
namespace {

AttentionBlock BindAttention(const WeightLoader& w, const LlamaConfig& c, int window) {
  AttentionBlock attention = BindAttention(w, {c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim},
                                           {.qkv = c.attention_bias, .output = c.output_bias});
  attention.window = window;
  attention.sinks = w.KeepFloats("sinks", {c.num_heads});
  return attention;
}

// [experts, 2 * inner], gate and up in turn, as gates and then ups of each expert.
std::vector<float> SideBySide(const std::vector<float>& bias, int inner) {
  std::vector<float> sorted(bias.size());
  for (size_t i = 0; i < bias.size(); ++i) {
    const size_t expert = i / (2 * inner), row = i % (2 * inner);
    sorted[expert * 2 * inner + row % 2 * inner + row / 2] = bias[i];
  }
  return sorted;
}

MoeBlock BindMoe(const WeightLoader& w, const LlamaConfig& c) {
  const int experts = c.moe.num_experts, inner = c.moe.intermediate_size;
  MoeBlock block{.config = c.moe,
                 .gate = w.KeepFloats("router.weight", {experts, c.hidden_size}),
                 .gate_bias = w.KeepFloats("router.bias", {experts}),
                 .epilogue = Epilogue::kClampedGate};
  for (int e = 0; e < experts && w.status().ok(); ++e) {
    block.AddExpert(w.TurnedExpertGateUp("experts.gate_up_proj", e, experts, inner, c.hidden_size),
                    w.TurnedExpert("experts.down_proj", e, experts, c.hidden_size, inner));
  }
  block.up_bias = w.Keep(SideBySide(w.Floats("experts.gate_up_proj_bias", {experts, 2 * inner}), inner));
  block.down_bias = w.KeepFloats("experts.down_proj_bias", {experts, c.hidden_size});
  return block;
}

DecoderParts Bind(const WeightLoader& w, const LlamaConfig& c) {
  return BindLlama(w, c, {}, RmsNorms(c), [&c](const WeightLoader& layer, int i) {
    return MixerPair{BindAttention(layer.Child("self_attn."), c, c.windows[i]), BindMoe(layer.Child("mlp."), c)};
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadGptOss(const Checkpoint& checkpoint, Backend& backend,
                                                  const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
