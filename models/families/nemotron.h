// Nemotron 3 and 4, Minitron: attention with partly rotary positions and a squared-ReLU MLP in every layer, LayerNorm.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<std::unique_ptr<Model>> LoadNemotron(const Checkpoint& checkpoint, Backend& backend,
                                                    const LoadProgress& progress);

}  // namespace braid
