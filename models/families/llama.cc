#include "models/families/llama.h"

#include <algorithm>

namespace braid {
namespace {

// What the tensors are called: in Hugging Face folders, in those of Mixtral, and in GGUF files.
struct Names {
  DecoderNames decoder;
  const char *q = "self_attn.q_proj", *k = "self_attn.k_proj", *v = "self_attn.v_proj", *o = "self_attn.o_proj";
  const char *q_norm = "self_attn.q_norm.weight", *k_norm = "self_attn.k_norm.weight";
  const char *gate = "mlp.gate_proj.weight", *up = "mlp.up_proj.weight", *down = "mlp.down_proj.weight";
  const char* router = "mlp.gate.weight";
  const char* experts = "mlp.experts.";  // ahead of an expert's number; null: all stacked
  const char *expert_gate = "gate_proj.weight", *expert_up = "up_proj.weight", *expert_down = "down_proj.weight";
};

Names MixtralNames() {
  Names names;
  names.router = "block_sparse_moe.gate.weight";
  names.experts = "block_sparse_moe.experts.";
  names.expert_gate = "w1.weight";
  names.expert_up = "w3.weight";
  names.expert_down = "w2.weight";
  return names;
}

Names GgufNames() {
  return {.decoder = {.embedding = "token_embd.weight", .final_norm = "output_norm", .layers = "blk.",
                      .output = "output.weight", .first_norm = "attn_norm", .second_norm = "ffn_norm"},
          .q = "attn_q", .k = "attn_k", .v = "attn_v", .o = "attn_output",
          .q_norm = "attn_q_norm.weight", .k_norm = "attn_k_norm.weight",
          .gate = "ffn_gate.weight", .up = "ffn_up.weight", .down = "ffn_down.weight",
          .router = "ffn_gate_inp.weight", .experts = nullptr,
          .expert_gate = "ffn_gate_exps.weight", .expert_up = "ffn_up_exps.weight",
          .expert_down = "ffn_down_exps.weight"};
}

Names NamesOf(const Checkpoint& checkpoint, const LlamaConfig& c) {
  if (checkpoint.gguf() != nullptr) return GgufNames();
  return c.model_type == "mixtral" ? MixtralNames() : Names();
}

AttentionBlock BindAttention(const WeightLoader& w, const Names& names, const LlamaConfig& c, int window) {
  AttentionBlock attention = braid::BindAttention(w, {c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim},
                                                  {.qkv = c.attention_bias, .output = c.output_bias},
                                                  {.q = names.q, .k = names.k, .v = names.v, .output = names.o});
  attention.norm_eps = c.rms_norm_eps;
  attention.window = window;
  if (c.qk_norm) attention.q_norm = w.KeepFloats(names.q_norm, {Whole(c.head_dim)});
  if (c.qk_norm) attention.k_norm = w.KeepFloats(names.k_norm, {Whole(c.head_dim)});
  return attention;
}

Mixer BindMlp(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  return BindGatedMlp(w, c.hidden_size, c.intermediate_size, {names.gate, names.up, names.down});
}

Mixer BindExperts(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  const Axis hidden = Whole(c.hidden_size);
  const std::string first = names.experts == nullptr ? "" : absl::StrCat(names.experts, "0.");
  const Axis inner = ShardWidth(w, c.moe.intermediate_size, first + names.expert_down);
  MoeBlock block{.config = c.moe,
                 .gate = w.KeepFloats(names.router, {Whole(c.moe.num_experts), hidden}),
                 .epilogue = Epilogue::kSiluGate};
  const int experts = c.moe.num_experts;
  for (int e = 0; e < experts && w.status().ok(); ++e) {
    if (names.experts == nullptr) {
      block.AddExpert(w.ExpertGateUp(names.expert_gate, names.expert_up, e, experts, inner, hidden),
                      w.Expert(names.expert_down, e, experts, hidden, inner));
      continue;
    }
    const WeightLoader expert = w.Child(absl::StrCat(names.experts, e, "."));
    block.AddExpert(expert.GateUp(names.expert_gate, names.expert_up, inner, hidden),
                    expert.Matrix(names.expert_down, hidden, inner));
  }
  return block;
}

DecoderParts Bind(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  return BindLlama(w, c, names.decoder, RmsNorms(c), [&](const WeightLoader& layer, int i) {
    return MixerPair{BindAttention(layer, names, c, c.windows[i]),
                     c.is_moe[i] ? BindExperts(layer, names, c) : BindMlp(layer, names, c)};
  });
}

}  // namespace

ModelInfo InfoOf(const LlamaConfig& c) {
  const int moes = static_cast<int>(std::count(c.is_moe.begin(), c.is_moe.end(), true));
  ModelInfo info = DecoderInfo(c.model_type, c, {{"attention", c.num_layers}});
  if (moes < c.num_layers) info.layers_by_kind.emplace_back("mlp", c.num_layers - moes);
  if (moes > 0) info.layers_by_kind.emplace_back("moe", moes);
  info.cache.attention.assign(c.num_layers, {c.num_kv_heads, c.head_dim});
  return info;
}

NormBinder RmsNorms(const LlamaConfig& c) {
  return [&c](const WeightLoader& w, const std::string& name) {
    return BindRmsNorm(w, name, c.hidden_size, c.rms_norm_eps);
  };
}

DecoderParts BindLlama(const WeightLoader& w, const LlamaConfig& c, const DecoderNames& names, const NormBinder& norm,
                       const PairBinder& pair) {
  DecoderParts parts = BindDecoder(w, ShapeOf(c, c.num_layers), names, norm, pair);
  parts.rotary = RotaryOf(w, c.rope, c.head_dim);
  return parts;
}

absl::StatusOr<ModelInfo> ReadLlamaInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadLlama(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  if (config.mlp_bias) return absl::UnimplementedError(absl::StrCat(checkpoint.path(), ": mlp_bias: true"));
  auto model = LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) {
    return Bind(w, NamesOf(checkpoint, config), config);
  });
  if (model.ok()) checkpoint.Find("rope_freqs.weight");  // GGUF's frequency divisors: the configuration has read them
  return model;
}

}  // namespace braid
