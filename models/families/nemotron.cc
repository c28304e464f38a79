#include "models/families/nemotron.h"

#include "models/blocks/attention_block.h"
#include "models/blocks/mlp_block.h"
#include "models/blocks/token_head.h"
#include "models/model_config.h"

namespace braid {
namespace {

struct Layer {
  Norm input_norm;
  AttentionBlock attention;
  Norm post_norm;
  MlpBlock mlp;
};

// LayerNorm1P: what is stored is the weight's distance from one.
Norm BindNorm(const WeightLoader& w, const std::string& name, const LlamaConfig& c) {
  Norm norm{.weight = w.Floats(name + ".weight", {c.hidden_size}),
            .bias = w.Floats(name + ".bias", {c.hidden_size}),
            .eps = c.rms_norm_eps};
  for (float& weight : norm.weight) weight += 1.0f;
  return norm;
}

AttentionBlock BindAttention(const WeightLoader& w, const LlamaConfig& c) {
  const AttentionShape shape{c.hidden_size, c.num_heads, c.num_kv_heads, c.head_dim};
  AttentionBlock attention{.shape = shape,
                           .qkv = w.Stack({{"q_proj.weight", shape.q_size()},
                                           {"k_proj.weight", shape.kv_size()},
                                           {"v_proj.weight", shape.kv_size()}},
                                          c.hidden_size),
                           .output = w.Matrix("o_proj.weight", c.hidden_size, shape.q_size())};
  if (c.attention_bias) {
    attention.qkv_bias = w.FloatStack(
        {{"q_proj.bias", shape.q_size()}, {"k_proj.bias", shape.kv_size()}, {"v_proj.bias", shape.kv_size()}});
  }
  if (c.output_bias) attention.output_bias = w.Floats("o_proj.bias", {c.hidden_size});
  return attention;
}

MlpBlock BindMlp(const WeightLoader& w, const LlamaConfig& c) {
  MlpBlock mlp{.intermediate = c.intermediate_size,
                    .up = w.Matrix("up_proj.weight", c.intermediate_size, c.hidden_size),
                    .down = w.Matrix("down_proj.weight", c.hidden_size, c.intermediate_size)};
  if (c.mlp_bias) mlp.up_bias = w.Floats("up_proj.bias", {c.intermediate_size});
  if (c.mlp_bias) mlp.down_bias = w.Floats("down_proj.bias", {c.hidden_size});
  return mlp;
}

Layer Bind(const WeightLoader& w, const LlamaConfig& c) {
  return {.input_norm = BindNorm(w, "input_layernorm", c),
          .attention = BindAttention(w.Child("self_attn."), c),
          .post_norm = BindNorm(w, "post_attention_layernorm", c),
          .mlp = BindMlp(w.Child("mlp."), c)};
}

ModelInfo InfoOf(const LlamaConfig& c) {
  ModelInfo info{.family = c.model_type,
                 .layers_by_kind = {{"attention", c.num_layers}, {"mlp", c.num_layers}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  info.cache.attention.assign(c.num_layers, {c.num_kv_heads, c.head_dim});
  return info;
}

class Nemotron : public Model {
 public:
  Nemotron(const LlamaConfig& config, const WeightLoader& w)
      : config_(config), info_(InfoOf(config)), rotary_(RotaryOf(config.rope, config.head_dim)) {
    head_ = {.embedding = w.Matrix("model.embed_tokens.weight", config.vocab_size, config.hidden_size),
             .final_norm = BindNorm(w, "model.norm", config)};
    if (!config.tie_word_embeddings) {
      head_.output = w.Matrix("lm_head.weight", config.vocab_size, config.hidden_size);
    }
    for (int i = 0; i < config.num_layers && w.status().ok(); ++i) {
      layers_.push_back(Bind(w.Child(absl::StrCat("model.layers.", i, ".")), config));
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

absl::StatusOr<ModelInfo> ReadNemotronInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadNemotron(const Checkpoint& checkpoint, Backend& backend,
                                                    const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const LlamaConfig config, ReadLlamaConfig(checkpoint));
  const WeightLoader loader(checkpoint, backend, progress);
  auto model = std::make_unique<Nemotron>(config, loader);
  RETURN_IF_ERROR(loader.status());
  return model;
}

}  // namespace braid
