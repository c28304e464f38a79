// From a step's logit rows to the rows of the sampling operations: each sequence with its own parameters.
#pragma once

#include <functional>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/grammar/lookahead_constraint.h"
#include "engine/sampling/sampling_params.h"
#include "kernels/sample/sample.h"

namespace braid {

// Rows of logits in memory at once.
inline constexpr int64_t kLogitSlice = 64;

// All that the drawing of one sequence's tokens depends on besides its tokens.
struct SamplingSpec {
  SamplingParams params;
  uint32_t stream = 0;               // choice index of the request
  int min_tokens = 0;
  std::vector<int32_t> end_ids;      // end-of-sequence and stop ids
  int prompt_logprobs = -1;          // GenerateRequest's
  LookaheadConstraint* constraint = nullptr;  // which has taken all tokens that came; null: none
};

// Answers a live sequence's spec; null when it has ended.
using SpecOf = std::function<const SamplingSpec*(SequenceId)>;

// One sampled row of `logit_rows` as the sampling operation wants it: drawn with the tokens up to its position known,
// drafts among them. Spans and mask borrow from `row` and `spec`. Where its constraint leaves nothing but an end, a
// sequence may end before min_tokens.
SampleRow SampleRowOf(const LogitRow& logit_row, const SequenceRow& row, const SamplingSpec& spec);

}  // namespace braid
