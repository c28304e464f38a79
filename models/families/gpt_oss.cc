#include "models/families/gpt_oss.h"

#include "models/families/llama.h"

namespace braid {
namespace {

AttentionBlock BindAttention(const WeightLoader& w, const LlamaConfig& c, int window) {
  AttentionBlock attention = BindAttention(w, {c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim},
                                           {.qkv = c.attention_bias, .output = c.output_bias});
  attention.window = window;
  const AttentionShards shards = ShardAttention(w, {c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim});
  attention.sinks = w.KeepFloats("sinks", {shards.heads});
  return attention;
}

// Gates and then ups of a width of which gates and ups are stored in turn.
Axis SideBySide(const Axis& inner) {
  std::vector<Axis::Run> runs = inner.Spread(2, 0).runs();
  const Axis ups = inner.Spread(2, 1);
  runs.insert(runs.end(), ups.runs().begin(), ups.runs().end());
  return Axis(2 * inner.stored(), std::move(runs));
}

MoeBlock BindMoe(const WeightLoader& w, const LlamaConfig& c) {
  const int experts = c.moe.num_experts, inner = c.moe.intermediate_size;
  MoeBlock block{.config = c.moe,
                 .gate = w.KeepFloats("router.weight", {Whole(experts), Whole(c.hidden_size)}),
                 .gate_bias = w.KeepFloats("router.bias", {Whole(experts)}),
                 .epilogue = Epilogue::kClampedGate};
  const Axis mine = ShardWidth(w, inner, "experts.down_proj"), hidden = Whole(c.hidden_size);
  for (int e = 0; e < experts && w.status().ok(); ++e) {
    block.AddExpert(w.TurnedExpertGateUp("experts.gate_up_proj", e, experts, mine, hidden),
                    w.TurnedExpert("experts.down_proj", e, experts, hidden, mine));
  }
  block.up_bias = w.KeepFloats("experts.gate_up_proj_bias", {Whole(experts), SideBySide(mine)});
  block.down_bias = w.KeepOnFirst("experts.down_proj_bias", {Whole(experts), hidden});
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
