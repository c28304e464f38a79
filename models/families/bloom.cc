#include "models/families/bloom.h"

#include <cmath>

#include "models/blocks/decoder.h"

namespace braid {
namespace {

Norm BindNorm(const WeightLoader& w, const std::string& name, const BloomConfig& c) {
  return {.weight = w.KeepFloats(name + ".weight", {Whole(c.hidden_size)}),
          .bias = w.KeepFloats(name + ".bias", {Whole(c.hidden_size)}),
          .eps = c.norm_eps};
}

// 2^(-8 i / n) of head i = 1..n, n the power of two at or below `heads`; further heads take every other of 2n's.
std::vector<float> AlibiSlopes(int heads) {
  int power = 1;
  while (2 * power <= heads) power *= 2;
  std::vector<float> slopes;
  for (int i = 0; i < heads; ++i) {
    const double exponent = i < power ? -8.0 * (i + 1) / power : -4.0 * (2 * (i - power) + 1) / power;
    slopes.push_back(static_cast<float>(std::exp2(exponent)));
  }
  return slopes;
}

// Rows of q, then k, then v of `heads`, which lie as [heads, 3, head_dim].
Axis RowsByPart(const BloomConfig& c, const Axis& heads) {
  std::vector<Axis::Run> rows;
  for (int64_t part = 0; part < 3; ++part) {
    for (int64_t head = heads.runs()[0].begin; head < heads.runs()[0].end; ++head) {
      rows.push_back({(3 * head + part) * c.head_dim(), (3 * head + part + 1) * c.head_dim()});
    }
  }
  return Axis(3LL * c.hidden_size, std::move(rows));
}

// What `axis` keeps, of values that are all there.
std::vector<float> Pick(const std::vector<float>& values, const Axis& axis) {
  std::vector<float> picked;
  for (const Axis::Run& run : axis.runs()) picked.insert(picked.end(), values.begin() + run.begin, values.begin() + run.end);
  return picked;
}

AttentionBlock BindAttention(const WeightLoader& w, const BloomConfig& c) {
  const AttentionShards shards = ShardAttention(w, {c.hidden_size, c.num_heads, c.num_heads, c.head_dim()});
  const Axis rows = RowsByPart(c, shards.heads), hidden = Whole(c.hidden_size);
  return {.shape = shards.shape,
          .qkv = w.Matrix("query_key_value.weight", rows, hidden),
          .qkv_bias = w.KeepFloats("query_key_value.bias", {rows}),
          .output = w.Matrix("dense.weight", hidden, shards.q),
          .output_bias = w.KeepOnFirst("dense.bias", {hidden}),
          .slopes = w.Keep(Pick(AlibiSlopes(c.num_heads), shards.heads))};
}

MlpBlock BindMlp(const WeightLoader& w, const BloomConfig& c) {
  MlpBlock mlp = braid::BindMlp(w, c.hidden_size, 4 * c.hidden_size, MlpBias::kBoth, {"dense_h_to_4h", "dense_4h_to_h"});
  mlp.activation = Epilogue::kGelu;
  return mlp;
}

ModelInfo InfoOf(const BloomConfig& c) {
  ModelInfo info = DecoderInfo("bloom", c, {{"attention", c.num_layers}, {"mlp", c.num_layers}});
  info.cache.attention.assign(c.num_layers, {c.num_heads, c.head_dim()});
  return info;
}

DecoderParts Bind(const WeightLoader& w, const BloomConfig& c) {
  const std::string body = w.Has("transformer.word_embeddings.weight") ? "transformer." : "";
  const auto norm = [&c](const WeightLoader& under, const std::string& name) { return BindNorm(under, name, c); };
  const PairBinder pair = [&c](const WeightLoader& layer, int) {
    return MixerPair{BindAttention(layer.Child("self_attention."), c), BindMlp(layer.Child("mlp."), c)};
  };
  DecoderParts parts = BindDecoder(
      w, ShapeOf(c, c.num_layers),
      {.embedding = body + "word_embeddings.weight", .final_norm = body + "ln_f", .layers = body + "h."}, norm, pair);
  parts.head.embedding_norm = norm(w, body + "word_embeddings_layernorm");
  return parts;
}

}  // namespace

absl::StatusOr<ModelInfo> ReadBloomInfo(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const BloomConfig config, ReadBloomConfig(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadBloom(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const BloomConfig config, ReadBloomConfig(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
