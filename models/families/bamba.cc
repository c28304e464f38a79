#include "models/families/bamba.h"

#include "models/families/hybrid.h"

namespace braid {
namespace {

DecoderParts Bind(const WeightLoader& w, const HybridConfig& c) {
  const NormBinder norm = HybridNorm(c);
  const LayerBinder layer = [&](const WeightLoader& under, int i, std::vector<DecoderLayer>& layers) {
    layers.push_back({norm(under, "input_layernorm"), BindEitherMixer(under, c, i)});
    layers.push_back({norm(under, "pre_ff_layernorm"),
                      BindGatedMlp(under.Child("feed_forward."), c.hidden_size, c.intermediate_size)});
  };
  return BindHybrid(w, c, {.final_norm = "model.final_layernorm"}, layer);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Model>> LoadBamba(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress) {
  return LoadHybrid(checkpoint, backend, progress, Bind);
}

}  // namespace braid
