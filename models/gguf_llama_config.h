// The metadata of a GGUF file of architecture llama as a LlamaConfig.
#pragma once

#include "models/model_config.h"

namespace braid {

absl::StatusOr<LlamaConfig> ReadGgufLlama(const GgufFile& gguf);

}  // namespace braid
