// Nemotron-H, Nano 2, Nemotron 3: layers of one norm and one mixer each, Mamba-2, attention, MLP or experts.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<ModelInfo> ReadNemotronHInfo(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadNemotronH(const Checkpoint& checkpoint, Backend& backend,
                                                     const LoadProgress& progress);

}  // namespace braid
