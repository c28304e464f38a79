// What one Mamba-2 layer keeps of one sequence, as offsets in f32 words from the start of its part of a state slot.
//   state: the SSM state at a grid position, [heads, state_size, head_dim_padded]
//   ring:  inputs since the grid position, row (position mod ring_rows): x [heads * head_dim] | B [groups * state_size] | dt [heads]
//   conv:  raw convolution inputs, row (position mod conv_rows): [conv_dim]
// With a state_size of 0 there is a convolution alone: neither state nor ring.
// A new sequence's slot needs no clearing: at position 0 the operations take state and earlier rows as zero.
#pragma once

#include <cstdint>

namespace braid {

struct MambaStateLayout {
  int32_t heads = 0;
  int32_t head_dim = 0;
  int32_t state_size = 0;
  int32_t groups = 1;
  int32_t conv_kernel = 4;
  int32_t grid = 32;        // tokens between two grid states
  int32_t max_drafts = 0;   // draft tokens in a step at most

  int64_t d_inner() const { return int64_t{heads} * head_dim; }
  int64_t d_bc() const { return int64_t{groups} * state_size; }
  int64_t conv_dim() const { return d_inner() + 2 * d_bc(); }
  int64_t head_dim_padded() const { return (head_dim + 15) / 16 * 16; }
  int64_t state_words() const { return heads * state_size * head_dim_padded(); }
  int64_t ring_rows() const { return state_size == 0 ? 0 : grid + 2 * (max_drafts + 1); }
  int64_t ring_row_words() const { return (d_inner() + d_bc() + heads + 15) / 16 * 16; }
  int64_t conv_rows() const { return conv_kernel - 1 + 2 * (max_drafts + 1); }
  int64_t conv_row_words() const { return (conv_dim() + 15) / 16 * 16; }
  int64_t state_offset() const { return 0; }
  int64_t ring_offset() const { return state_words(); }
  int64_t conv_offset() const { return ring_offset() + ring_rows() * ring_row_words(); }
  int64_t words() const { return conv_offset() + conv_rows() * conv_row_words(); }
  int64_t bytes() const { return 4 * words(); }
};

// One Mamba layer's part of all state slots: slot s begins at data + s * slot_stride words.
struct StateLayer {
  float* data = nullptr;
  int64_t slot_stride = 0;
  float* slot(int64_t s) const { return data + s * slot_stride; }
};

}  // namespace braid
