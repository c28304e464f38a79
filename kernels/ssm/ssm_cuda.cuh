// What the kernels of ssm_cuda.cu share: where states, ring rows and inputs lie, and the running sums of dt * A.
#pragma once

#include "kernels/cuda_device.cuh"
#include "kernels/ssm/ssm.h"

namespace braid::cuda::ssm {

inline constexpr int kThreads = 256;
inline constexpr int kFew = 8;          // tokens of a sequence that FewTokens takes
inline constexpr int kTokens = 4;       // for which the state passes once
inline constexpr int kMaxGrid = 64;

struct SsmParams {
  const float *xbc, *dt, *dt_bias, *a, *d;
  int64_t xbc_stride, dt_stride;
  float dt_min, dt_max;
  float* state;
  int64_t slot_stride;
  float* y;
  int64_t y_stride;
  const SequenceSpan* sequences;
  const int32_t* token_sequence;
  // The layout, as kernels use it.
  int heads, head_dim, padded, state_size, groups, grid, ring_rows;
  int64_t ring_offset, ring_row_words, d_inner, d_bc;
};

// ---- where things lie

__device__ __forceinline__ int LineAfter(const SsmParams& p, const SequenceSpan& span) {
  return (span.start + span.num_committed) / p.grid * p.grid;
}

// Whether FewTokens takes the sequence: one segment, no fold.
__device__ __forceinline__ bool IsFew(const SsmParams& p, const SequenceSpan& span) {
  return span.num_tokens <= kFew && span.start + span.num_tokens < span.state_position + p.grid;
}

__device__ __forceinline__ bool Walks(const SsmParams& p, const SequenceSpan& span) {
  return !span.padding && span.num_tokens > 0 && !IsFew(p, span);
}

__device__ __forceinline__ float* RingRow(const SsmParams& p, const SequenceSpan& span, int position) {
  return p.state + span.state_slot * p.slot_stride + p.ring_offset + position % p.ring_rows * p.ring_row_words;
}
__device__ __forceinline__ const float* XbcRow(const SsmParams& p, const SequenceSpan& span, int position) {
  return p.xbc + (span.first_row + position - span.start) * p.xbc_stride;
}
// x | B of a position.
__device__ __forceinline__ const float* InputRow(const SsmParams& p, const SequenceSpan& span, int position) {
  return position < span.start ? RingRow(p, span, position) : XbcRow(p, span, position);
}
__device__ __forceinline__ float* StateOf(const SsmParams& p, const SequenceSpan& span, int head) {
  return p.state + span.state_slot * p.slot_stride + static_cast<int64_t>(head) * p.state_size * p.padded;
}
__device__ __forceinline__ float StepOf(const SsmParams& p, int64_t row, int head) {
  return fminf(fmaxf(Softplus(p.dt[row * p.dt_stride + head] + p.dt_bias[head]), p.dt_min), p.dt_max);
}
__device__ __forceinline__ float DtOf(const SsmParams& p, const SequenceSpan& span, int position, int head) {
  if (position < span.start) return RingRow(p, span, position)[p.d_inner + p.d_bc + head];
  return StepOf(p, span.first_row + position - span.start, head);
}

// ---- running sums of dt * A

// dt and cs of rows [line, line + count) by the first warp of a block; rows up to kMaxGrid behind them get dt 0.
__device__ inline void TakeDecays(const SsmParams& p, const SequenceSpan& span, int head, int line, int count,
                           SharedPtr<float> dt, SharedPtr<float> cs) {
  const float a = p.a[head];
  float carry = 0;
  for (int first = 0; first < kMaxGrid; first += kWarp) {
    const int i = first + static_cast<int>(threadIdx.x);
    const float step = i < count ? DtOf(p, span, line + i, head) : 0.0f;
    float sum = step * a;
    for (int lanes = 1; lanes < kWarp; lanes *= 2) {
      const float below = __shfl_up_sync(kFullMask, sum, lanes);
      if (static_cast<int>(threadIdx.x) >= lanes) sum += below;
    }
    sum += carry;
    dt[i] = step;
    cs[i] = sum;
    carry = __shfl_sync(kFullMask, sum, kWarp - 1);
  }
}

}  // namespace braid::cuda::ssm
