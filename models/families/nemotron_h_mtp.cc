#include "models/families/nemotron_h_mtp.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace braid {
namespace {

struct MtpParts {
  Norm token_norm, hidden_norm;
  MatrixBlock join;                  // [hidden, 2 * hidden]: token, then hidden vector
  RankPlace place;
  std::vector<DecoderLayer> layers;
  Norm final_norm;
  Parameter taps;                    // [hidden, 2], each (1, 0)
};

class NemotronHMtp : public DraftHead {
 public:
  NemotronHMtp(const Model& model, MtpParts parts, int64_t weight_bytes)
      : model_(model), parts_(std::move(parts)), weight_bytes_(weight_bytes), hidden_size_(model.info().hidden_size) {
    for (size_t i = 0; i < parts_.layers.size(); ++i) {
      if (std::holds_alternative<AttentionBlock>(parts_.layers[i].mixer)) last_attention_ = static_cast<int>(i);
    }
  }

  // Up to the K and V of the last attention layer: nobody reads what comes behind.
  void WriteRows(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView hidden) const override {
    Scratch::Scope scope(op.scratch());
    const TensorView x = Matrix(op, batch), h = Matrix(op, batch);
    Before(op, batch, cache, hidden, h);
    if (last_attention_ < 0) return;
    model_.Embed(op, batch, x);
    Join(op, h, x);
    WalkLayers(op, batch, cache, {}, std::span(parts_.layers).first(last_attention_), parts_.place, h, x);
    const DecoderLayer& last = parts_.layers[last_attention_];
    last.norm.Forward(op, x, h);
    std::get<AttentionBlock>(last.mixer).WriteKv(op, batch, cache.kv.back(), {}, h);
  }

  void Guess(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView before,
             TensorView hidden) const override {
    Scratch::Scope scope(op.scratch());
    const TensorView x = Matrix(op, batch), h = Matrix(op, batch);
    model_.Embed(op, batch, x);
    // The ring's row of this position will be written again by WriteRows: any numbers serve until then.
    if (before.data == nullptr) Before(op, batch, cache, x, h);
    Join(op, before.data == nullptr ? h : before, x);
    WalkLayers(op, batch, cache, {}, parts_.layers, parts_.place, h, x);
    parts_.final_norm.Forward(op, x, hidden);
  }

  int64_t weight_bytes() const override { return weight_bytes_; }

 private:
  TensorView Matrix(Ops& op, const RaggedBatch& batch) const {
    return op.scratch().Matrix(batch.num_tokens(), hidden_size_);
  }

  // before[t] = hidden[t - 1]: a convolution with taps (1, 0), whose ring carries rows from step to step.
  void Before(Ops& op, const RaggedBatch& batch, const CacheView& cache, TensorView hidden, TensorView before) const {
    op.Conv1d({.x = hidden,
               .weight = parts_.taps.data(),
               .bias = nullptr,
               .batch = &batch,
               .layout = cache.state_layouts.back(),
               .state = cache.state.back(),
               .y = before,
               .silu = false});
  }

  // x = join [norm(x) | norm(before)]
  void Join(Ops& op, TensorView before, TensorView x) const {
    Scratch::Scope scope(op.scratch());
    const TensorView both = op.scratch().Matrix(x.rows, 2 * hidden_size_);
    parts_.token_norm.Forward(op, x, both.Columns(0, hidden_size_));
    parts_.hidden_norm.Forward(op, before, both.Columns(hidden_size_, hidden_size_));
    parts_.join.Forward(op, both, {x, /*add=*/false});
    if (!parts_.place.alone()) op.AllReduce({.x = x, .y = x});
  }

  const Model& model_;
  const MtpParts parts_;
  const int64_t weight_bytes_;
  const int hidden_size_;
  int last_attention_ = -1;  // among the layers
};

std::vector<float> OneZero(int64_t pairs) {
  std::vector<float> taps;
  for (int64_t i = 0; i < pairs; ++i) taps.insert(taps.end(), {1.0f, 0.0f});
  return taps;
}

// No positions, as in the model. Row 0 has no hidden vector before it, so no query sees it.
MtpParts Bind(const WeightLoader& w, const NemotronHConfig& c) {
  const int64_t hidden = c.hidden_size;
  const WeightLoader first = w.Child("mtp.layers.0.");
  const auto norm = [&c](const WeightLoader& under, const char* name) {
    return BindRmsNorm(under, name, c.hidden_size, c.norm_eps);
  };
  MtpParts parts{.token_norm = norm(first, "enorm"),
                 .hidden_norm = norm(first, "hnorm"),
                 .join = BindMatrix(first, "eh_proj.weight", hidden, 2 * hidden),
                 .place = w.place(),
                 .layers = {},
                 .final_norm = {},
                 .taps = w.Keep(OneZero(hidden))};
  for (size_t i = 0; i < c.mtp_layers.size() && w.status().ok(); ++i) {
    const WeightLoader layer = w.Child(absl::StrCat("mtp.layers.", i, "."));
    const auto before = [&](const std::vector<LayerKind>& layers, size_t end) {
      return static_cast<int>(std::count(layers.begin(), layers.begin() + end, c.mtp_layers[i]));
    };
    const int ordinal = before(c.layers, c.layers.size()) + before(c.mtp_layers, i);
    parts.layers.push_back(BindNemotronHLayer(layer, c, c.mtp_layers[i], ordinal));
    if (auto* attention = std::get_if<AttentionBlock>(&parts.layers.back().mixer)) attention->first = 1;
    if (i + 1 == c.mtp_layers.size()) parts.final_norm = norm(layer, "final_layernorm");
  }
  return parts;
}

}  // namespace

std::optional<CacheLayout> NemotronHMtpCache(const Checkpoint& checkpoint, const NemotronHConfig& config) {
  const auto count = [&](LayerKind kind) { return std::count(config.mtp_layers.begin(), config.mtp_layers.end(), kind); };
  const bool stored = checkpoint.Contains("mtp.layers.0.eh_proj.weight");  // some copies of a model leave its head out
  if (config.mtp_layers.empty() || !stored || count(LayerKind::kMamba) > 0) return std::nullopt;
  CacheLayout cache;
  cache.attention.assign(count(LayerKind::kAttention), {config.attention.num_kv_heads, config.attention.head_dim});
  cache.mamba = {{.heads = 1, .head_dim = config.hidden_size, .conv_kernel = 2}};
  return cache;
}

absl::StatusOr<std::unique_ptr<DraftHead>> LoadNemotronHMtp(const Checkpoint& checkpoint, Backend& backend,
                                                            const LoadProgress& progress, const Model& model) {
  ASSIGN_OR_RETURN(const NemotronHConfig config, ReadNemotronHConfig(checkpoint));
  const WeightLoader loader(checkpoint, backend, progress);
  MtpParts parts = Bind(loader, config);
  RETURN_IF_ERROR(loader.status());
  RETURN_IF_ERROR(CheckOrders(checkpoint.path(), nullptr, parts.layers));
  return std::make_unique<NemotronHMtp>(model, std::move(parts), loader.packed_bytes());
}

}  // namespace braid
