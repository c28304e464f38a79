// Llama 2 and 3, SmolLM, Mistral, Mixtral, Qwen 2 and 3: attention with rotary positions, then a gated MLP or gated
// experts, in every layer.
#pragma once

#include "models/model.h"

namespace braid {

struct LlamaConfig;

// Of every model with such a configuration.
ModelInfo InfoOf(const LlamaConfig& config);

absl::StatusOr<ModelInfo> ReadLlamaInfo(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadLlama(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress);

}  // namespace braid
