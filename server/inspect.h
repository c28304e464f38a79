// `braid inspect`: what lies in a checkpoint and what fits into memory.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "models/model_summary.h"
#include "server/config.h"

namespace braid {

// How much of a model's cache `memory_bytes` holds. 0 in a field: not limited by it.
struct Fit {
  int64_t full_length_sequences = 0;  // of max_model_len tokens, at once
  int64_t one_sequence_tokens = 0;    // the longest single sequence, at most max_model_len
};
Fit FitOf(const ModelSummary& summary, int64_t memory_bytes);

std::string TableOf(const ModelSummary& summary, const InspectConfig& config);
std::string JsonOf(const ModelSummary& summary, const InspectConfig& config);

// Opens the checkpoint and returns the text to print.
absl::StatusOr<std::string> Inspect(const InspectConfig& config);

}  // namespace braid
