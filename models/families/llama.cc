#include "models/families/llama.h"

#include "models/blocks/attention_block.h"
#include "models/blocks/mlp_block.h"
#include "models/blocks/token_head.h"
#include "models/model_config.h"

namespace braid {
namespace {

struct Layer {
  std::vector<float> input_norm;  // [hidden]
  AttentionBlock attention;
  std::vector<float> post_norm;   // [hidden]
  GatedMlpBlock mlp;
};

// What the tensors are called: in Hugging Face folders, and in GGUF files.
struct Names {
  const char *embedding, *final_norm, *output, *layer;
  const char *input_norm, *q, *k, *v, *o, *post_norm, *gate, *up, *down;
};
constexpr Names kHuggingFace = {
    "model.embed_tokens.weight",  "model.norm.weight",    "lm_head.weight",       "model.layers.",
    "input_layernorm.weight",     "self_attn.q_proj",     "self_attn.k_proj",     "self_attn.v_proj",
    "self_attn.o_proj",           "post_attention_layernorm.weight",              "mlp.gate_proj.weight",
    "mlp.up_proj.weight",         "mlp.down_proj.weight"};
constexpr Names kGguf = {"token_embd.weight", "output_norm.weight", "output.weight", "blk.",
                         "attn_norm.weight",  "attn_q",             "attn_k",        "attn_v",
                         "attn_output",       "ffn_norm.weight",    "ffn_gate.weight", "ffn_up.weight",
                         "ffn_down.weight"};

std::string WeightOf(const char* module) { return absl::StrCat(module, ".weight"); }
std::string BiasOf(const char* module) { return absl::StrCat(module, ".bias"); }

Layer Bind(const WeightLoader& w, const Names& names, const LlamaConfig& c) {
  const AttentionShape shape{c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim};
  Layer layer{.input_norm = w.Floats(names.input_norm, {c.hidden_size}),
              .attention = {.shape = shape,
                            .qkv = w.Stack({{WeightOf(names.q), shape.q_size()},
                                            {WeightOf(names.k), shape.kv_size()},
                                            {WeightOf(names.v), shape.kv_size()}},
                                           c.hidden_size),
                            .output = w.Matrix(WeightOf(names.o), c.hidden_size, shape.q_size())},
              .post_norm = w.Floats(names.post_norm, {c.hidden_size}),
              .mlp = {.intermediate = c.intermediate_size,
                      .gate_up = w.GateUp(names.gate, names.up, c.intermediate_size, c.hidden_size),
                      .down = w.Matrix(names.down, c.hidden_size, c.intermediate_size)}};
  if (c.attention_bias) {
    layer.attention.qkv_bias = w.FloatStack(
        {{BiasOf(names.q), shape.q_size()}, {BiasOf(names.k), shape.kv_size()}, {BiasOf(names.v), shape.kv_size()}});
    layer.attention.output_bias = w.Floats(BiasOf(names.o), {c.hidden_size});
  }
  return layer;
}

ModelInfo InfoOf(const LlamaConfig& c) {
  ModelInfo info{.family = "llama",
                 .layers_by_kind = {{"attention", c.num_layers}, {"mlp", c.num_layers}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  info.cache.attention.assign(c.num_layers, {c.num_kv_heads, c.head_dim});
  return info;
}

class Llama : public Model {
 public:
  Llama(const LlamaConfig& config, const WeightLoader& w, const Names& names)
      : config_(config),
        info_(InfoOf(config)),
        rotary_{InverseFrequencies(config.rope, config.head_dim), config.rope.adjacent_pairs} {
    head_ = {.embedding = w.Matrix(names.embedding, config.vocab_size, config.hidden_size),
             .final_norm = w.Floats(names.final_norm, {config.hidden_size}),
             .norm_eps = config.rms_norm_eps};
    if (!config.tie_word_embeddings) head_.output = w.Matrix(names.output, config.vocab_size, config.hidden_size);
    for (int i = 0; i < config.num_layers; ++i) {
      layers_.push_back(Bind(w.Child(absl::StrCat(names.layer, i, ".")), names, config));
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
      op.RmsNorm({.x = x, .weight = layer.input_norm.data(), .eps = config_.rms_norm_eps, .y = h});
      layer.attention.Forward(op, batch, cache.kv[i], rotary_, h, x);
      op.RmsNorm({.x = x, .weight = layer.post_norm.data(), .eps = config_.rms_norm_eps, .y = h});
      layer.mlp.Forward(op, h, x);
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
  auto model = std::make_unique<Llama>(config, loader, checkpoint.gguf() != nullptr ? kGguf : kHuggingFace);
  RETURN_IF_ERROR(loader.status());
  checkpoint.Find("rope_freqs.weight");  // GGUF's frequency divisors: the configuration has read them
  return model;
}

}  // namespace braid
