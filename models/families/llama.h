// Llama 2 and 3, SmolLM, Mistral, Mixtral, Qwen 2 and 3: attention with rotary positions, then a gated MLP or gated
// experts, in every layer.
#pragma once

#include "models/blocks/decoder.h"
#include "models/model_config.h"

namespace braid {

// Of every model with such a configuration.
ModelInfo InfoOf(const LlamaConfig& config);
NormBinder RmsNorms(const LlamaConfig& config);
DecoderParts BindLlama(const WeightLoader& w, const LlamaConfig& config, const DecoderNames& names,
                       const NormBinder& norm, const PairBinder& pair);

absl::StatusOr<ModelInfo> ReadLlamaInfo(const Checkpoint& checkpoint);
absl::StatusOr<std::unique_ptr<Model>> LoadLlama(const Checkpoint& checkpoint, Backend& backend,
                                                 const LoadProgress& progress);

}  // namespace braid
