// Mamba-2 state space (arXiv:2405.21060) from a state on a grid and a ring of inputs since.
// Per head h (group g = h / (heads / groups)), with dt_t = clamp(softplus(dt_raw_t + dt_bias), dt_min, dt_max),
// a_t = dt_t * A and, from the grid position P to t, cs_t = a_P + ... + a_t summed in this order:
//   y_t = exp(cs_t) C_t . S_P  +  sum_{s=P..t} (C_t . B_s) exp(cs_t - cs_s) dt_s x_s  +  D x_t        (s rising)
//   S_{P+Q} = exp(cs_{P+Q-1}) S_P + sum_{s=P..P+Q-1} exp(cs_{P+Q-1} - cs_s) dt_s x_s (x) B_s          (s rising)
// Every output is computed by this one formula in this one order from the state at the last grid line at or before
// its position, so its bits do not depend on how the tokens were cut into steps. A chunk is walked in segments that
// end at grid lines. Folds into the slot happen for committed tokens only; past them a state needed by drafts beyond
// a grid line is folded aside and dropped. After the step the slot's state stands at StatePositionAfter(span, grid).
// A slot whose state_position is behind the last grid line at or before `start` is folded forward first (from ring).
#pragma once

#include "kernels/ragged_batch.h"
#include "kernels/ssm/state_layout.h"
#include "kernels/tensor.h"

namespace braid {

struct SsmArgs {
  TensorView xbc;            // [tokens, conv_dim] after convolution: x | B | C
  TensorView dt;             // [tokens, heads] raw, rows may be strided
  const float* dt_bias;      // [heads]
  const float* a;            // [heads], A = -exp(A_log)
  const float* d;            // [heads]
  float dt_min;              // 0: no clamp below
  float dt_max;              // infinity: no clamp above
  const RaggedBatch* batch;
  MambaStateLayout layout;
  StateLayer state;
  TensorView y;              // [tokens, d_inner]
};

}  // namespace braid
