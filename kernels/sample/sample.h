// Logits to tokens, one row a sequence, in this order: logprobs of the raw logits; mask (allowed ids, minimum length);
// bias; repetition, frequency and presence penalties; temperature; top-k; top-p; min-p; draw.
// Draws use a counter-based generator (Philox 4x32-10, Salmon et al., SC 2011) keyed by (seed, stream, position):
// the same request and seed give the same tokens in any company.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/tensor.h"

namespace braid {

// How one row is sampled. Spans are borrowed for the call.
struct SampleRow {
  float temperature = 1.0f;         // 0: greedy (lowest id among equals)
  float top_p = 1.0f;
  int32_t top_k = 0;                // <= 0: off
  float min_p = 0.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  float repetition_penalty = 1.0f;
  uint64_t seed = 0;
  uint32_t stream = 0;              // choice index of the request
  uint32_t position = 0;            // of the token to be drawn
  std::span<const int32_t> prompt;  // for repetition_penalty
  std::span<const int32_t> output;  // for all penalties
  std::span<const std::pair<int32_t, float>> logit_bias;
  std::span<const int32_t> allowed_ids;  // empty: all
  std::span<const int32_t> banned_ids;   // end and stop ids while below the minimum length
  const uint32_t* mask = nullptr;        // one bit an id, set = allowed; null: all
  int32_t top_logprobs = -1;             // -1: none; 0: the token's own; k: and the k best
};

struct SampledRow {
  int32_t token = -1;               // -1: the row's logits were not finite
  float logprob = 0;                // of the token under the raw logits, natural log
  int32_t rank = 0;                 // of the token among all ids, by falling raw logit, then by id: 1 is the best; 0 where
                                    // no logprobs are wanted
  std::vector<std::pair<int32_t, float>> top;  // falling, ties by id
};

struct SampleArgs {
  TensorView logits;                  // [rows, vocab], destroyed
  std::span<const SampleRow> rows;
  std::span<SampledRow> sampled;
};

// Natural-log probabilities and ranks of given tokens under raw logits, and the k best beside each: prompt_logprobs.
struct TokenLogprobsArgs {
  TensorView logits;                  // [rows, vocab]
  std::span<const int32_t> tokens;    // [rows]
  std::span<const int32_t> top;       // [rows] how many of the best; all ids at most
  std::span<SampledRow> sampled;      // token, logprob, rank, top
};

}  // namespace braid
