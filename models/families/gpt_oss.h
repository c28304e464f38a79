// GPT-OSS: attention with sinks and biases, every other layer with a window, then clamped gated experts, in every layer.
#pragma once

#include "models/model.h"

namespace braid {

absl::StatusOr<std::unique_ptr<Model>> LoadGptOss(const Checkpoint& checkpoint, Backend& backend,
                                                  const LoadProgress& progress);

}  // namespace braid
