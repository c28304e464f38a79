// How a sequence's tokens are drawn.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace braid {

// The best ids that may be shown beside a token.
inline constexpr int kMaxTopLogprobs = 20;

struct SamplingParams {
  float temperature = 1.0f;         // 0: greedy; 0..2
  float top_p = 1.0f;               // (0, 1]; 0 keeps the best token only
  int top_k = 0;                    // 0 or -1: off
  float min_p = 0.0f;               // 0..1, relative to the best token's probability
  float frequency_penalty = 0.0f;   // -2..2, times the count among output tokens
  float presence_penalty = 0.0f;    // -2..2, once for each output token
  float repetition_penalty = 1.0f;  // > 0, over prompt and output (arXiv:1909.05858)
  uint64_t seed = 0;                // draws are keyed by (seed, choice index, position)
  std::vector<std::pair<int32_t, float>> logit_bias;  // ids inside the vocabulary, -100..100
  std::vector<int32_t> allowed_token_ids;             // empty: all
  int logprobs = -1;                // -1: none; 0: the token's own; k: and the k best, at most kMaxTopLogprobs

  bool NeedsHistory() const {
    return frequency_penalty != 0 || presence_penalty != 0 || repetition_penalty != 1.0f;
  }
  // InvalidArgument that names the first field out of its range.
  absl::Status Validate(int vocab_size) const;
};

}  // namespace braid
