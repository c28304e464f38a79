// Bamba: Mamba-2, or attention with half of each head rotary, and then a gated MLP, in every layer.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<std::unique_ptr<Model>> LoadBamba(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress);

}  // namespace braid
