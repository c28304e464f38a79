#include "models/families/llama.h"

#include <algorithm>

#include "models/blocks/decoder.h"
#include "models/model_config.h"

namespace braid {
namespace {

// What the tensors are called: in Hugging Face folders, in those of Mixtral, and in GGUF files.
struct Names {
  const char *embedding, *final_norm, *output, *layer;
  const char *input_norm, *q, *k, *v, *o, *q_norm, *k_norm, *post_norm, *gate, *up, *down;
  const char *router, *experts, *expert_gate, *expert_up, *expert_down;  // experts: ahead of an expert's number; null: all stacked
};
constexpr Names kHuggingFace = {
    "model.embed_tokens.weight",  "model.norm.weight",       "lm_head.weight",    "model.layers.",
    "input_layernorm.weight",     "self_attn.q_proj",        "self_attn.k_proj",  "self_attn.v_proj",
    "self_attn.o_proj",           "self_attn.q_norm.weight", "self_attn.k_norm.weight",
    "post_attention_layernorm.weight",                       "mlp.gate_proj.weight", "mlp.up_proj.weight",
    "mlp.down_proj.weight",       "mlp.gate.weight",         "mlp.experts.",      "gate_proj.weight",
    "up_proj.weight",             "down_proj.weight"};
constexpr Names kMixtral = [] {
  Names names = kHuggingFace;
  names.router = "block_sparse_moe.gate.weight";
  names.experts = "block_sparse_moe.experts.";
  names.expert_gate = "w1.weight";
  names.expert_up = "w3.weight";
  names.expert_down = "w2.weight";
  return names;
}();
constexpr Names kGguf = {
    "token_embd.weight",  "output_norm.weight",   "output.weight",        "blk.",
    "attn_norm.weight",   "attn_q",               "attn_k",               "attn_v",
    "attn_output",        "attn_q_norm.weight",   "attn_k_norm.weight",   "ffn_norm.weight",
    "ffn_gate.weight",    "ffn_up.weight",        "ffn_down.weight",      "ffn_gate_inp.weight",
    nullptr,              "ffn_gate_exps.weight", "ffn_up_exps.weight",   "ffn_down_exps.weight"};

const Names& NamesOf(const Checkpoint& checkpoint, const LlamaConfig& c) {
  if (checkpoint.gguf() != nullptr) return kGguf;
  return c.model_type == "mixtral" ? kMixtral : kHuggingFace;
}

AttentionBlock BindAttention(const WeightLoader& w, const Names& names, const LlamaConfig& c, int window) {
  AttentionBlock attention = braid::BindAttention(w, {c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim},
                                                  {.qkv = c.attention_bias, .output = c.output_bias},
                                                  {.q = names.q, .k = names.k, .v = names.v, .output = names.o});
  attention.norm_eps = c.rms_norm_eps;
  attention.window = window;
  if (c.qk_norm) attention.q_norm = w.KeepFloats(names.q_norm, {c.head_dim});
  if (c.qk_norm) attention.k_norm = w.KeepFloats(names.k_norm, {c.head_dim});
  return attention;
}

Mixer BindMlp(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  return GatedMlpBlock{.intermediate = c.intermediate_size,
                       .gate_up = w.GateUp(names.gate, names.up, c.intermediate_size, c.hidden_size),
                       .down = w.Matrix(names.down, c.hidden_size, c.intermediate_size)};
}

Mixer BindExperts(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  const int inner = c.moe.intermediate_size;
  MoeBlock block{.config = c.moe,
                 .gate = w.KeepFloats(names.router, {c.moe.num_experts, c.hidden_size}),
                 .epilogue = Epilogue::kSiluGate};
  const int experts = c.moe.num_experts;
  for (int e = 0; e < experts && w.status().ok(); ++e) {
    if (names.experts == nullptr) {
      block.AddExpert(w.ExpertGateUp(names.expert_gate, names.expert_up, e, experts, inner, c.hidden_size),
                      w.Expert(names.expert_down, e, experts, c.hidden_size, inner));
      continue;
    }
    const WeightLoader expert = w.Child(absl::StrCat(names.experts, e, "."));
    block.AddExpert(expert.GateUp(names.expert_gate, names.expert_up, inner, c.hidden_size),
                    expert.Matrix(names.expert_down, c.hidden_size, inner));
  }
  return block;
}

Norm BindNorm(const WeightLoader& w, const char* name, const LlamaConfig& c) {
  return {.weight = w.KeepFloats(name, {c.hidden_size}), .bias = {}, .eps = c.rms_norm_eps};
}

DecoderParts Bind(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  DecoderParts parts{.head = {.embedding = w.Matrix(names.embedding, c.vocab_size, c.hidden_size),
                              .embedding_norm = {},
                              .final_norm = BindNorm(w, names.final_norm, c),
                              .output = {}},
                     .rotary = RotaryOf(w, c.rope, c.head_dim),
                     .layers = {}};
  if (!c.tie_word_embeddings) parts.head.output = w.Matrix(names.output, c.vocab_size, c.hidden_size);
  for (int i = 0; i < c.num_layers && w.status().ok(); ++i) {
    const WeightLoader layer = w.Child(absl::StrCat(names.layer, i, "."));
    parts.layers.push_back({BindNorm(layer, names.input_norm, c), BindAttention(layer, names, c, c.windows[i])});
    parts.layers.push_back({BindNorm(layer, names.post_norm, c),
                            c.is_moe[i] ? BindExperts(layer, names, c) : BindMlp(layer, names, c)});
  }
  return parts;
}

}  // namespace

ModelInfo InfoOf(const LlamaConfig& c) {
  const int moes = static_cast<int>(std::count(c.is_moe.begin(), c.is_moe.end(), true));
  ModelInfo info{.family = c.model_type,
                 .layers_by_kind = {{"attention", c.num_layers}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  if (moes < c.num_layers) info.layers_by_kind.emplace_back("mlp", c.num_layers - moes);
  if (moes > 0) info.layers_by_kind.emplace_back("moe", moes);
  info.cache.attention.assign(c.num_layers, {c.num_kv_heads, c.head_dim});
  return info;
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
