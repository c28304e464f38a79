#include "models/families/gpt_oss.h"

#include "models/blocks/attention_block.h"
#include "models/blocks/moe_block.h"
#include "models/blocks/token_head.h"
#include "models/model_config.h"

namespace braid {
namespace {

struct Layer {
  Norm input_norm;
  AttentionBlock attention;
  Norm post_norm;
  MoeBlock moe;
};

Norm BindNorm(const WeightLoader& w, const std::string& name, const LlamaConfig& c) {
  return {.weight = w.Floats(name + ".weight", {c.hidden_size}), .bias = {}, .eps = c.rms_norm_eps};
}

AttentionBlock BindAttention(const WeightLoader& w, const LlamaConfig& c, int window) {
  const AttentionShape shape{c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim};
  AttentionBlock attention{.shape = shape,
                           .qkv = w.Stack({{"q_proj.weight", shape.q_size()},
                                           {"k_proj.weight", shape.kv_size()},
                                           {"v_proj.weight", shape.kv_size()}},
                                          c.hidden_size),
                           .output = w.Matrix("o_proj.weight", c.hidden_size, shape.q_size()),
                           .window = window,
                           .sinks = w.Floats("sinks", {c.num_heads})};
  if (c.attention_bias) {
    attention.qkv_bias = w.FloatStack(
        {{"q_proj.bias", shape.q_size()}, {"k_proj.bias", shape.kv_size()}, {"v_proj.bias", shape.kv_size()}});
  }
  if (c.output_bias) attention.output_bias = w.Floats("o_proj.bias", {c.hidden_size});
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
                 .gate = w.Floats("router.weight", {experts, c.hidden_size}),
                 .gate_bias = w.Floats("router.bias", {experts}),
                 .epilogue = Epilogue::kClampedGate};
  for (int e = 0; e < experts && w.status().ok(); ++e) {
    block.AddExpert(w.TurnedExpertGateUp("experts.gate_up_proj", e, experts, inner, c.hidden_size),
                    w.TurnedExpert("experts.down_proj", e, experts, c.hidden_size, inner));
  }
  block.up_bias = SideBySide(w.Floats("experts.gate_up_proj_bias", {experts, 2 * inner}), inner);
  block.down_bias = w.Floats("experts.down_proj_bias", {experts, c.hidden_size});
  return block;
}

Layer Bind(const WeightLoader& w, const LlamaConfig& c, int window) {
  return {.input_norm = BindNorm(w, "input_layernorm", c),
          .attention = BindAttention(w.Child("self_attn."), c, window),
          .post_norm = BindNorm(w, "post_attention_layernorm", c),
          .moe = BindMoe(w.Child("mlp."), c)};
}

ModelInfo InfoOf(const LlamaConfig& c) {
  ModelInfo info{.family = c.model_type,
                 .layers_by_kind = {{"attention", c.num_layers}, {"moe", c.num_layers}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  info.cache.attention.assign(c.num_layers, {c.num_kv_heads, c.head_dim});
  return info;
}

class GptOss : public Model {
 public:
  GptOss(const LlamaConfig& config, const WeightLoader& w)
      : config_(config), info_(InfoOf(config)), rotary_(RotaryOf(config.rope, config.head_dim)) {
    head_ = {.embedding = w.Matrix("model.embed_tokens.weight", config.vocab_size, config.hidden_size),
             .final_norm = BindNorm(w, "model.norm", config)};
    if (!config.tie_word_embeddings) {
      head_.output = w.Matrix("lm_head.weight", config.vocab_size, config.hidden_size);
    }
    for (int i = 0; i < config.num_layers && w.status().ok(); ++i) {
      layers_.push_back(Bind(w.Child(absl::StrCat("model.layers.", i, ".")), config, config.windows[i]));
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
      layer.moe.Forward(op, h, x);
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

absl::StatusOr<ModelInfo> ReadGptOssInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadGptOss(const Checkpoint& checkpoint, Backend& backend,
                                                    const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  const WeightLoader loader(checkpoint, backend, progress);
  auto model = std::make_unique<GptOss>(config, loader);
  RETURN_IF_ERROR(loader.status());
  return model;
}

}  // namespace braid
