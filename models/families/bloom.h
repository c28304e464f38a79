// BLOOM: attention with ALiBi and a GELU MLP in every layer, LayerNorm, also of the embeddings.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<ModelInfo> ReadBloomInfo(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadBloom(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress);

}  // namespace braid
