// Nemotron-H, Nano 2, Nemotron 3: layers of one norm and one mixer each, Mamba-2, attention, MLP or experts.
#pragma once

#include "models/blocks/decoder.h"
#include "models/model_config.h"

namespace braid {

absl::StatusOr<ModelInfo> ReadNemotronHInfo(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadNemotronH(const Checkpoint& checkpoint, Backend& backend,
                                                     const LoadProgress& progress);

// The tensors of one layer; `ordinal` counts those of its kind before, in the model and then in the draft head.
DecoderLayer BindNemotronHLayer(const WeightLoader& w, const NemotronHConfig& config, LayerKind kind, int ordinal);

}  // namespace braid
