// Depthwise causal convolution of K taps, then SiLU or nothing, over a ragged batch with carried rows:
//   y[t, c] = silu(bias[c] + sum_j weight[c, j] x[t - K + 1 + j, c])      tap K-1 multiplies the current token
// Rows before a chunk come from the state slot's ring of raw rows, rows before position 0 are zero; the chunk's last
// rows are written to the ring (row = position mod conv_rows).
#pragma once

#include "kernels/ragged_batch.h"
#include "kernels/ssm/state_layout.h"
#include "kernels/tensor.h"

namespace braid {

struct Conv1dArgs {
  TensorView x;              // [tokens, conv_dim], rows may be strided
  const float* weight;       // [conv_dim, K]
  const float* bias;         // [conv_dim] or null
  const RaggedBatch* batch;
  MambaStateLayout layout;
  StateLayer state;
  TensorView y;              // [tokens, conv_dim]; not x
  bool silu = true;          // false: the sum itself
};

}  // namespace braid
