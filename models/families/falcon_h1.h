// Falcon-H1: Mamba-2 and attention side by side, and then a gated MLP, in every layer; multipliers all over.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<std::unique_ptr<Model>> LoadFalconH1(const Checkpoint& checkpoint, Backend& backend,
                                                    const LoadProgress& progress);

}  // namespace braid
