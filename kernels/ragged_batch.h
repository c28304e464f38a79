// One step's tokens as the operations see them: rows of several sequences, one behind the other.
#pragma once

#include <cstdint>
#include <span>

namespace braid {

// One sequence's tokens in a step: rows [first_row, first_row + num_tokens) of every activation.
struct SequenceSpan {
  int32_t first_row = 0;
  int32_t num_tokens = 0;
  int32_t start = 0;           // absolute position of its first token
  int32_t num_committed = 0;   // of these tokens, how many are final: all of a prompt chunk, the first of decode + drafts
  const int32_t* blocks = nullptr;  // block table: block i holds positions [i * block_size, (i + 1) * block_size)
  int32_t num_blocks = 0;      // entries of the table that may be read
  int32_t state_slot = -1;     // of recurrent state; -1: the model has none
  int32_t state_position = 0;  // position up to which the slot's grid state is folded; a multiple of the grid
  bool padding = false;        // its rows belong to nobody: nothing is kept of them
};

// The position up to which a sequence's state is folded after this step; see ssm/ssm.h.
inline int32_t StatePositionAfter(const SequenceSpan& span, int32_t grid) {
  return (span.start + span.num_committed) / grid * grid;
}

struct RaggedBatch {
  std::span<const int32_t> ids;            // [tokens]
  std::span<const int32_t> positions;      // [tokens]
  std::span<const SequenceSpan> sequences;
  std::span<const int32_t> logit_rows;     // [rows wanted] rows whose final hidden vectors are wanted, rising
  int64_t num_tokens() const { return static_cast<int64_t>(ids.size()); }
};

}  // namespace braid
