// Llama-Nemotron (DeciLM): Llama whose layers differ in size, have one matrix instead of a mixer, or leave it out.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<ModelInfo> ReadNemotronNasInfo(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadNemotronNas(const Checkpoint& checkpoint, Backend& backend,
                                                       const LoadProgress& progress);

}  // namespace braid
