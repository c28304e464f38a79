#include "models/families/nemotron_h.h"

#include <algorithm>
#include <variant>

#include "models/blocks/attention_block.h"
#include "models/blocks/mamba2_block.h"
#include "models/blocks/mlp_block.h"
#include "models/blocks/moe_block.h"
#include "models/blocks/token_head.h"

namespace braid {
namespace {

using Mixer = std::variant<Mamba2Block, AttentionBlock, MlpBlock, MoeBlock>;

struct Layer {
  std::vector<float> norm;  // [hidden]
  Mixer mixer;
};

AttentionBlock BindAttention(const WeightLoader& w, const NemotronHConfig& c) {
  const AttentionShape shape{c.hidden_size, c.attention.num_heads, c.attention.num_kv_heads, c.attention.head_dim};
  return {.shape = shape,
          .qkv = w.Stack({{"q_proj.weight", shape.q_size()},
                          {"k_proj.weight", shape.kv_size()},
                          {"v_proj.weight", shape.kv_size()}},
                         c.hidden_size),
          .output = w.Matrix("o_proj.weight", c.hidden_size, shape.q_size())};
}

MlpBlock BindMlp(const WeightLoader& w, const NemotronHConfig& c, int ordinal) {
  const int inner = c.mlp.intermediate_sizes[ordinal];
  MlpBlock mlp{.intermediate = inner,
                    .up = w.Matrix("up_proj.weight", inner, c.hidden_size),
                    .down = w.Matrix("down_proj.weight", c.hidden_size, inner)};
  if (c.mlp.bias) mlp.up_bias = w.Floats("up_proj.bias", {inner});
  if (c.mlp.bias) mlp.down_bias = w.Floats("down_proj.bias", {c.hidden_size});
  return mlp;
}

Mixer BindMixer(const WeightLoader& w, const NemotronHConfig& c, LayerKind kind, int mlp_ordinal) {
  switch (kind) {
    case LayerKind::kMamba: return BindMamba2(w, c.mamba, c.hidden_size, c.norm_eps);
    case LayerKind::kAttention: return BindAttention(w, c);
    case LayerKind::kMlp: return BindMlp(w, c, mlp_ordinal);
    case LayerKind::kMoe: return BindMoe(w, c);
  }
  CHECK(false) << static_cast<int>(kind);
}

int CountOf(const NemotronHConfig& c, LayerKind kind) {
  return static_cast<int>(std::count(c.layers.begin(), c.layers.end(), kind));
}

ModelInfo InfoOf(const NemotronHConfig& c) {
  ModelInfo info{.family = "nemotron_h",
                 .layers_by_kind = {{"mamba", CountOf(c, LayerKind::kMamba)},
                                    {"attention", CountOf(c, LayerKind::kAttention)},
                                    {"mlp", CountOf(c, LayerKind::kMlp)},
                                    {"moe", CountOf(c, LayerKind::kMoe)}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  info.cache.attention.assign(CountOf(c, LayerKind::kAttention), {c.attention.num_kv_heads, c.attention.head_dim});
  info.cache.mamba.assign(CountOf(c, LayerKind::kMamba), StateLayoutOf(c.mamba));
  return info;
}

class NemotronH : public Model {
 public:
  NemotronH(const NemotronHConfig& config, const WeightLoader& w) : config_(config), info_(InfoOf(config)) {
    // Published files say "backbone."; what transformers holds in memory, and some write, is "model.".
    const WeightLoader body = w.Child(w.Has("model.embeddings.weight") ? "model." : "backbone.");
    head_ = {.embedding = body.Matrix("embeddings.weight", config.vocab_size, config.hidden_size),
             .final_norm = {.weight = body.Floats("norm_f.weight", {config.hidden_size}), .eps = config.norm_eps}};
    if (!config.tie_word_embeddings) {
      head_.output = w.Matrix("lm_head.weight", config.vocab_size, config.hidden_size);
    }
    int mlps = 0;
    for (size_t i = 0; i < config.layers.size() && w.status().ok(); ++i) {
      const WeightLoader layer = body.Child(absl::StrCat("layers.", i, "."));
      const int ordinal = config.layers[i] == LayerKind::kMlp ? mlps++ : 0;
      layers_.push_back({.norm = layer.Floats("norm.weight", {config.hidden_size}),
                         .mixer = BindMixer(layer.Child("mixer."), config, config.layers[i], ordinal)});
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
    Walk walk{op, batch, cache, h, x};
    for (const Layer& layer : layers_) {
      op.RmsNorm({.x = x, .weight = layer.norm.data(), .eps = config_.norm_eps, .y = h});
      std::visit(walk, layer.mixer);
    }
    head_.FinalHidden(op, batch, x, hidden);
  }

  void Logits(Ops& op, TensorView hidden, TensorView logits) const override { head_.Logits(op, hidden, logits); }

 private:
  // One pass over the layers: each mixer adds to x, and takes the next cache of its kind.
  struct Walk {
    Ops& op;
    const RaggedBatch& batch;
    const CacheView& cache;
    TensorView h, x;
    size_t mambas = 0, attentions = 0;

    void operator()(const Mamba2Block& block) {
      block.Forward(op, batch, cache.state_layouts[mambas], cache.state[mambas], h, x);
      ++mambas;
    }
    // No positional encoding: an empty Rotary.
    void operator()(const AttentionBlock& block) { block.Forward(op, batch, cache.kv[attentions++], Rotary{}, h, x); }
    void operator()(const MlpBlock& block) { block.Forward(op, h, x); }
    void operator()(const MoeBlock& block) { block.Forward(op, h, x); }
  };

  const NemotronHConfig config_;
  const ModelInfo info_;
  TokenHead head_;
  std::vector<Layer> layers_;
  int64_t weight_bytes_ = 0;
};

}  // namespace

absl::StatusOr<ModelInfo> ReadNemotronHInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const NemotronHConfig config, ReadNemotronHConfig(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadNemotronH(const Checkpoint& checkpoint, Backend& backend,
                                                     const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const NemotronHConfig config, ReadNemotronHConfig(checkpoint));
  const WeightLoader loader(checkpoint, backend, progress);
  auto model = std::make_unique<NemotronH>(config, loader);
  RETURN_IF_ERROR(loader.status());
  return model;
}

}  // namespace braid
