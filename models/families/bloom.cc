#include "models/families/bloom.h"

#include <cmath>

#include "models/blocks/decoder.h"

namespace braid {
namespace {

Norm BindNorm(const WeightLoader& w, const std::string& name, const BloomConfig& c) {
  return {.weight = w.KeepFloats(name + ".weight", {c.hidden_size}),
          .bias = w.KeepFloats(name + ".bias", {c.hidden_size}),
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

// Where rows of q, then k, then v lie in the stored [heads, 3, head_dim].
std::vector<int64_t> RowsByPart(const BloomConfig& c) {
  std::vector<int64_t> rows;
  for (int64_t part = 0; part < 3; ++part) {
    for (int64_t head = 0; head < c.num_heads; ++head) {
      for (int64_t d = 0; d < c.head_dim(); ++d) rows.push_back((3 * head + part) * c.head_dim() + d);
    }
  }
  return rows;
}

AttentionBlock BindAttention(const WeightLoader& w, const BloomConfig& c) {
  const std::vector<int64_t> rows = RowsByPart(c);
  AttentionBlock attention{.shape = {c.hidden_size, c.num_heads, c.num_heads, c.head_dim()},
                           .qkv = w.MatrixRows("query_key_value.weight", 3LL * c.hidden_size, c.hidden_size, rows),
                           .output = w.Matrix("dense.weight", c.hidden_size, c.hidden_size),
                           .output_bias = w.KeepFloats("dense.bias", {c.hidden_size}),
                           .slopes = w.Keep(AlibiSlopes(c.num_heads))};
  const std::vector<float> bias = w.Floats("query_key_value.bias", {3LL * c.hidden_size});
  std::vector<float> ordered;
  for (size_t i = 0; i < bias.size(); ++i) ordered.push_back(bias[rows[i]]);
  attention.qkv_bias = w.Keep(ordered);
  return attention;
}

MlpBlock BindMlp(const WeightLoader& w, const BloomConfig& c) {
  const int inner = 4 * c.hidden_size;
  return {.intermediate = inner,
          .up = w.Matrix("dense_h_to_4h.weight", inner, c.hidden_size),
          .down = w.Matrix("dense_4h_to_h.weight", c.hidden_size, inner),
          .up_bias = w.KeepFloats("dense_h_to_4h.bias", {inner}),
          .down_bias = w.KeepFloats("dense_4h_to_h.bias", {c.hidden_size}),
          .activation = Epilogue::kGelu};
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
