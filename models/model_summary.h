// What `braid inspect` tells of a checkpoint without loading it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/tensor.h"
#include "models/weights/checkpoint.h"

namespace braid {

struct ModelSummary {
  std::string family;
  std::vector<std::pair<std::string, int>> layers_by_kind;
  int64_t parameters = 0;
  std::vector<std::pair<std::string, int64_t>> bytes_by_format;  // "Q4_1", bytes in the files
  int64_t kv_bytes_per_token = 0;
  int64_t state_bytes_per_sequence = 0;
  int max_model_len = 0;
  int vocab_size = 0;
};

// Reads configuration and headers; `kv_dtype` and `state_grid` (tokens) as the engine would be started with.
absl::StatusOr<ModelSummary> Summarize(const Checkpoint& checkpoint, DType kv_dtype, int state_grid);

}  // namespace braid
