#include "models/families/llama.h"

#include <algorithm>
#include <variant>

#include "models/blocks/attention_block.h"
#include "models/blocks/mlp_block.h"
#include "models/blocks/moe_block.h"
#include "models/blocks/token_head.h"
#include "models/model_config.h"

namespace braid {
namespace {

using FeedForward = std::variant<GatedMlpBlock, MoeBlock>;

struct Layer {
  Norm input_norm;
  AttentionBlock attention;
  Norm post_norm;
  FeedForward feed_forward;
};

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

std::string WeightOf(const char* module) { return absl::StrCat(module, ".weight"); }
std::string BiasOf(const char* module) { return absl::StrCat(module, ".bias"); }

AttentionBlock BindAttention(const WeightLoader& w, const Names& names, const LlamaConfig& c, int window) {
  const AttentionShape shape{c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim};
  AttentionBlock attention{.shape = shape,
                           .qkv = w.Stack({{WeightOf(names.q), shape.q_size()},
                                           {WeightOf(names.k), shape.kv_size()},
                                           {WeightOf(names.v), shape.kv_size()}},
                                          c.hidden_size),
                           .output = w.Matrix(WeightOf(names.o), c.hidden_size, shape.q_size()),
                           .norm_eps = c.rms_norm_eps,
                           .window = window};
  if (c.attention_bias) {
    attention.qkv_bias = w.FloatStack(
        {{BiasOf(names.q), shape.q_size()}, {BiasOf(names.k), shape.kv_size()}, {BiasOf(names.v), shape.kv_size()}});
  }
  if (c.output_bias) attention.output_bias = w.Floats(BiasOf(names.o), {c.hidden_size});
  if (c.qk_norm) attention.q_norm = w.Floats(names.q_norm, {c.head_dim});
  if (c.qk_norm) attention.k_norm = w.Floats(names.k_norm, {c.head_dim});
  return attention;
}

FeedForward BindMlp(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  return GatedMlpBlock{.intermediate = c.intermediate_size,
                       .gate_up = w.GateUp(names.gate, names.up, c.intermediate_size, c.hidden_size),
                       .down = w.Matrix(names.down, c.hidden_size, c.intermediate_size)};
}

FeedForward BindExperts(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  const int inner = c.moe.intermediate_size;
  MoeBlock block{.config = c.moe,
                 .gate = w.Floats(names.router, {c.moe.num_experts, c.hidden_size}),
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

Layer Bind(const WeightLoader& w, const Names& names, const LlamaConfig& c, int i) {
  return {.input_norm = {.weight = w.Floats(names.input_norm, {c.hidden_size}), .eps = c.rms_norm_eps},
          .attention = BindAttention(w, names, c, c.windows[i]),
          .post_norm = {.weight = w.Floats(names.post_norm, {c.hidden_size}), .eps = c.rms_norm_eps},
          .feed_forward = c.is_moe[i] ? BindExperts(w, names, c) : BindMlp(w, names, c)};
}

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

class Llama : public Model {
 public:
  Llama(const LlamaConfig& config, const WeightLoader& w, const Names& names)
      : config_(config),
        info_(InfoOf(config)),
        rotary_(RotaryOf(config.rope, config.head_dim)) {
    head_ = {.embedding = w.Matrix(names.embedding, config.vocab_size, config.hidden_size),
             .final_norm = {.weight = w.Floats(names.final_norm, {config.hidden_size}), .eps = config.rms_norm_eps}};
    if (!config.tie_word_embeddings) head_.output = w.Matrix(names.output, config.vocab_size, config.hidden_size);
    for (int i = 0; i < config.num_layers && w.status().ok(); ++i) {
      layers_.push_back(Bind(w.Child(absl::StrCat(names.layer, i, ".")), names, config, i));
    }
    weight_bytes_ = w.packed_bytes();
  }

  const ModelInfo& info() const override { return info_; }
  int64_t weight_bytes() const override { return weight_bytes_; }

  void Forward(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView hidden) const override {
    Scratch::Scope scope(op.scratch());
    const TensorView x = op.scratch().Matrix(batch.num_tokens(), config_.hidden_size);
    const TensorView h = op.scratch().Matrix(batch.num_tokens(), config_.hidden_size);
    head_.Embed(op, batch, x);
    for (size_t i = 0; i < layers_.size(); ++i) {
      const Layer& layer = layers_[i];
      layer.input_norm.Forward(op, x, h);
      layer.attention.Forward(op, batch, cache.kv[i], rotary_, h, x);
      layer.post_norm.Forward(op, x, h);
      std::visit([&](const auto& block) { block.Forward(op, h, x); }, layer.feed_forward);
    }
    head_.FinalHidden(op, batch, x, hidden);
  }

  void Logits(Ops& op, TensorView hidden, TensorView logits) const override { head_.Logits(op, hidden, logits); }

 private:
  const LlamaConfig config_;
  const ModelInfo info_;
  const Rotary rotary_;
  TokenHead head_;
  std::vector<Layer> layers_;
  int64_t weight_bytes_ = 0;
};

}  // namespace

absl::StatusOr<ModelInfo> ReadLlamaInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadLlama(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  if (config.mlp_bias) return absl::UnimplementedError(absl::StrCat(checkpoint.path(), ": mlp_bias: true"));
  const WeightLoader loader(checkpoint, backend, progress);
  auto model = std::make_unique<Llama>(config, loader, NamesOf(checkpoint, config));
  RETURN_IF_ERROR(loader.status());
  checkpoint.Find("rope_freqs.weight");  // GGUF's frequency divisors: the configuration has read them
  return model;
}

}  // namespace braid
