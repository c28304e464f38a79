#include "models/blocks/decoder.h"

#include <utility>

#include "kernels/base/errors.h"

namespace braid {
namespace {

// One pass over the layers: each mixer adds to `out`, and takes the next cache of its kind.
struct Walk {
  Ops& op;
  const RaggedBatch& batch;
  const CacheView& cache;
  const Rotary& rotary;
  TensorView h;
  Addend out;
  size_t mambas = 0, attentions = 0;

  void operator()(const Mamba2Block& block) {
    block.Forward(op, batch, cache.state_layouts[mambas], cache.state[mambas], h, out);
    ++mambas;
  }
  void operator()(const AttentionBlock& block) { block.Forward(op, batch, cache.kv[attentions++], rotary, h, out); }
  void operator()(const MlpBlock& block) { block.Forward(op, h, out); }
  void operator()(const GatedMlpBlock& block) { block.Forward(op, h, out); }
  void operator()(const MoeBlock& block) { block.Forward(op, h, out); }
  void operator()(const MatrixBlock& block) { block.Forward(op, h, out); }
};

class Decoder : public Model {
 public:
  Decoder(ModelInfo info, DecoderParts parts, int64_t weight_bytes)
      : info_(std::move(info)), parts_(std::move(parts)), weight_bytes_(weight_bytes) {}

  const ModelInfo& info() const override { return info_; }
  int64_t weight_bytes() const override { return weight_bytes_; }

  void Forward(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView hidden) const override {
    Scratch::Scope scope(op.scratch());
    const TensorView x = op.scratch().Matrix(batch.num_tokens(), info_.hidden_size);
    const TensorView h = op.scratch().Matrix(batch.num_tokens(), info_.hidden_size);
    parts_.head.Embed(op, batch, x);
    WalkLayers(op, batch, cache, parts_.rotary, parts_.layers, parts_.head.place, h, x);
    parts_.head.FinalHidden(op, batch, x, hidden);
  }

  void Embed(Ops& op, const RaggedBatch& batch, TensorView x) const override { parts_.head.Embed(op, batch, x); }
  void Logits(Ops& op, TensorView hidden, TensorView logits) const override { parts_.head.Logits(op, hidden, logits); }

 private:
  const ModelInfo info_;
  const DecoderParts parts_;
  const int64_t weight_bytes_;
};

}  // namespace

void WalkLayers(Ops& op, const RaggedBatch& batch, const CacheView& cache, const Rotary& rotary,
                std::span<const DecoderLayer> layers, RankPlace place, TensorView h, TensorView x) {
  Scratch::Scope scope(op.scratch());
  Walk walk{op, batch, cache, rotary, h, {x, /*add=*/true}};
  if (!place.alone()) walk.out.y = op.scratch().Matrix(x.rows, x.cols);
  for (size_t i = 0; i < layers.size(); ++i) {
    const bool begins = !layers[i].norm.weight.empty();
    if (begins) layers[i].norm.Forward(op, x, h);
    walk.out.add = place.alone() || !begins;
    std::visit(walk, layers[i].mixer);
    const bool ends = i + 1 == layers.size() || !layers[i + 1].norm.weight.empty();
    if (ends && !place.alone()) op.AllReduce({.x = walk.out.y, .y = x, .add = true});
  }
}

// Published files say "backbone."; what transformers holds in memory, and some write, is "model.".
DecoderNames DecoderNames::Backbone(const WeightLoader& w) {
  const std::string body = w.Has("model.embeddings.weight") ? "model." : "backbone.";
  return {.embedding = body + "embeddings.weight", .final_norm = body + "norm_f", .layers = body + "layers."};
}

DecoderParts BindDecoder(const WeightLoader& w, const DecoderShape& shape, const DecoderNames& names,
                         const NormBinder& norm, const LayerBinder& layer) {
  DecoderParts parts;
  const Axis vocabulary = ShardVocabulary(w, shape.vocab_size), hidden = Whole(shape.hidden_size);
  parts.head.place = w.place();
  parts.head.borders = VocabularyBorders(shape.vocab_size, w.place());
  parts.head.embedding = w.Matrix(names.embedding, vocabulary, hidden);
  parts.head.final_norm = norm(w, names.final_norm);
  if (!shape.tied) parts.head.output = w.Matrix(names.output, vocabulary, hidden);
  for (int i = 0; i < shape.num_layers && w.status().ok(); ++i) {
    layer(w.Child(absl::StrCat(names.layers, i, ".")), i, parts.layers);
  }
  return parts;
}

DecoderParts BindDecoder(const WeightLoader& w, const DecoderShape& shape, const DecoderNames& names,
                         const NormBinder& norm, const PairBinder& pair) {
  const LayerBinder layer = [&](const WeightLoader& under, int index, std::vector<DecoderLayer>& layers) {
    Norm first_norm = norm(under, names.first_norm), second_norm = norm(under, names.second_norm);
    MixerPair mixers = pair(under, index);
    layers.push_back({std::move(first_norm), std::move(mixers.first)});
    layers.push_back({std::move(second_norm), std::move(mixers.second)});
  };
  return BindDecoder(w, shape, names, norm, layer);
}

absl::Status CheckOrders(const std::string& path, const Weight& embedding, std::span<const DecoderLayer> layers) {
  const auto ordered = [](const Weight& weight) { return weight != nullptr && !weight->input_order().empty(); };
  const auto refused = [&](const std::string& what) {
    return absl::UnimplementedError(absl::StrCat(path, ": ", what, " has inputs in the order of a g_idx (desc_act)"));
  };
  if (ordered(embedding)) return refused("the embedding");
  for (const DecoderLayer& layer : layers) {
    const auto* const moe = std::get_if<MoeBlock>(&layer.mixer);
    if (moe == nullptr) continue;
    for (size_t e = 0; e < moe->up.size(); ++e) {
      if (ordered(moe->up[e]) || ordered(moe->down[e])) return refused(absl::StrCat("expert ", e));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Model>> LoadDecoder(const Checkpoint& checkpoint, Backend& backend,
                                                   const LoadProgress& progress, ModelInfo info,
                                                   const std::function<DecoderParts(const WeightLoader&)>& bind) {
  const WeightLoader loader(checkpoint, backend, progress);
  DecoderParts parts = bind(loader);
  RETURN_IF_ERROR(loader.status());
  RETURN_IF_ERROR(CheckOrders(checkpoint.path(), parts.head.embedding, parts.layers));
  info.cache = ShardCache(std::move(info.cache), loader.place());
  if (info.draft_head) info.draft_head = ShardCache(*std::move(info.draft_head), loader.place());
  return std::make_unique<Decoder>(std::move(info), std::move(parts), loader.packed_bytes());
}

}  // namespace braid
