// What sampling fields that a request leaves out stand for.
#pragma once

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

struct GenerationDefaults {
  float temperature = 1.0f;
  float top_p = 1.0f;
  int top_k = 0;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
};

// Takes what a checkpoint's generation_config.json says of sampling.
// InvalidArgument names the field whose value a request could not have.
absl::StatusOr<GenerationDefaults> ReadGenerationDefaults(const Json& generation_config);

}  // namespace braid
