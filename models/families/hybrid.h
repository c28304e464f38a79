// What Bamba, Falcon-H1 and Granite have in common: the parts of a HybridConfig.
#pragma once

#include "models/blocks/decoder.h"
#include "models/model_config.h"

namespace braid {

absl::StatusOr<ModelInfo> ReadHybridInfo(const Checkpoint& checkpoint);

// The norm of a layer. What mixers add is left unscaled: the residual stream is the model's divided by residual_factor,
// which a norm does not see but for its eps.
NormBinder HybridNorm(const HybridConfig& config);
AttentionBlock BindHybridAttention(const WeightLoader& w, const HybridConfig& config);
// The mixer that comes first in layer `index` of a model that has either: "mamba." or "self_attn." under `w`.
Mixer BindEitherMixer(const WeightLoader& w, const HybridConfig& config, int index);

// Reads both ends and all layers, with the multipliers of the ends.
DecoderParts BindHybrid(const WeightLoader& w, const HybridConfig& config, const DecoderNames& names,
                        const LayerBinder& layer);

// Loads a model whose parts `bind` finds.
absl::StatusOr<std::unique_ptr<Model>> LoadHybrid(
    const Checkpoint& checkpoint, Backend& backend, const LoadProgress& progress,
    const std::function<DecoderParts(const WeightLoader&, const HybridConfig&)>& bind);

}  // namespace braid
