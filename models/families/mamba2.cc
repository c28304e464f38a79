#include "models/families/mamba2.h"

#include "models/blocks/mamba2_block.h"
#include "models/blocks/token_head.h"

namespace braid {
namespace {

struct Layer {
  Norm norm;
  Mamba2Block mixer;
};

Layer Bind(const WeightLoader& w, const Mamba2Config& c) {
  return {.norm = {.weight = w.Floats("norm.weight", {c.hidden_size}), .eps = c.norm_eps},
          .mixer = BindMamba2(w.Child("mixer."), c.mamba, c.hidden_size, c.norm_eps)};
}

ModelInfo InfoOf(const Mamba2Config& c) {
  ModelInfo info{.family = "mamba2",
                 .layers_by_kind = {{"mamba", c.num_layers}},
                 .vocab_size = c.vocab_size,
                 .hidden_size = c.hidden_size,
                 .max_model_len = c.max_position_embeddings,
                 .eos_token_ids = c.eos_token_ids};
  info.cache.mamba.assign(c.num_layers, StateLayoutOf(c.mamba));
  return info;
}

class Mamba2 : public Model {
 public:
  Mamba2(const Mamba2Config& config, const WeightLoader& w) : config_(config), info_(InfoOf(config)) {
    const WeightLoader body = w.Child(w.Has("model.embeddings.weight") ? "model." : "backbone.");
    head_ = {.embedding = body.Matrix("embeddings.weight", config.vocab_size, config.hidden_size),
             .final_norm = {.weight = body.Floats("norm_f.weight", {config.hidden_size}), .eps = config.norm_eps}};
    if (!config.tie_word_embeddings) {
      head_.output = w.Matrix("lm_head.weight", config.vocab_size, config.hidden_size);
    }
    for (int i = 0; i < config.num_layers && w.status().ok(); ++i) {
      layers_.push_back(Bind(body.Child(absl::StrCat("layers.", i, ".")), config));
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
      layers_[i].norm.Forward(op, x, h);
      layers_[i].mixer.Forward(op, batch, cache.state_layouts[i], cache.state[i], h, x);
    }
    head_.FinalHidden(op, batch, x, hidden);
  }

  void Logits(Ops& op, TensorView hidden, TensorView logits) const override { head_.Logits(op, hidden, logits); }

 private:
  const Mamba2Config config_;
  const ModelInfo info_;
  TokenHead head_;
  std::vector<Layer> layers_;
  int64_t weight_bytes_ = 0;
};

}  // namespace

absl::StatusOr<ModelInfo> ReadMamba2Info(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const Mamba2Config config, ReadMamba2Config(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadMamba2(const Checkpoint& checkpoint, Backend& backend,
                                                  const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const Mamba2Config config, ReadMamba2Config(checkpoint));
  const WeightLoader loader(checkpoint, backend, progress);
  auto model = std::make_unique<Mamba2>(config, loader);
  RETURN_IF_ERROR(loader.status());
  return model;
}

}  // namespace braid
