// Mamba-2 alone (arXiv:2405.21060): a state per sequence, no cache that grows.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<ModelInfo> ReadMamba2Info(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadMamba2(const Checkpoint& checkpoint, Backend& backend,
                                                  const LoadProgress& progress);

}  // namespace braid
