#include "models/families/mamba2.h"

#include "models/blocks/decoder.h"

namespace braid {
namespace {

ModelInfo InfoOf(const Mamba2Config& c) {
  ModelInfo info = DecoderInfo("mamba2", c, {{"mamba", c.num_layers}});
  info.cache.mamba.assign(c.num_layers, StateLayoutOf(c.mamba));
  return info;
}

DecoderParts Bind(const WeightLoader& w, const Mamba2Config& c) {
  const auto norm = [&c](const WeightLoader& under, const std::string& name) {
    return BindRmsNorm(under, name, c.hidden_size, c.norm_eps);
  };
  const LayerBinder layer = [&](const WeightLoader& under, int, std::vector<DecoderLayer>& layers) {
    layers.push_back({norm(under, "norm"), BindMamba2(under.Child("mixer."), c.mamba, c.hidden_size, c.norm_eps)});
  };
  return BindDecoder(w, ShapeOf(c, c.num_layers), DecoderNames::Backbone(w), norm, layer);
}

}  // namespace

absl::StatusOr<ModelInfo> ReadMamba2Info(const Checkpoint& checkpoint) {
  ASSIGN_OR_RETURN(const Mamba2Config config, ReadMamba2Config(checkpoint));
  return InfoOf(config);
}

absl::StatusOr<std::unique_ptr<Model>> LoadMamba2(const Checkpoint& checkpoint, Backend& backend,
                                                  const LoadProgress& progress) {
  ASSIGN_OR_RETURN(const Mamba2Config config, ReadMamba2Config(checkpoint));
  return LoadDecoder(checkpoint, backend, progress, InfoOf(config), [&](const WeightLoader& w) { return Bind(w, config); });
}

}  // namespace braid
