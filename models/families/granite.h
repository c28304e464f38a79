// Granite 3 and 4: attention (or in the hybrids Mamba-2), then a gated MLP, gated experts or both, with four multipliers.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<std::unique_ptr<Model>> LoadGranite(const Checkpoint& checkpoint, Backend& backend,
                                                   const LoadProgress& progress);

}  // namespace braid
