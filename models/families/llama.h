// Llama 2 and 3, SmolLM and their like: attention with rotary positions and a gated MLP in every layer.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<ModelInfo> ReadLlamaInfo(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadLlama(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress);

}  // namespace braid
