// Decode: see ssm_cuda.cu.
#pragma once

#include "kernels/ssm/ssm_cuda.cuh"

namespace braid::cuda::ssm {

// factors[t][s] = (C_t . B_s) exp(cs_t - cs_s) dt_s for the segment's rows s up to token t's; a warp for each pair.
__device__ inline void TakeFactors(const SsmParams& p, const SequenceSpan& span, int group, int rows, SharedPtr<float> c,
                            SharedPtr<float> dt, SharedPtr<float> cs, SharedPtr<float> factors) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp, line = span.state_position;
  const int64_t b_column = p.d_inner + static_cast<int64_t>(group) * p.state_size;
  for (int pair = warp; pair < rows * span.num_tokens; pair += kThreads / kWarp) {
    const int t = pair / rows, s = pair % rows, own = span.start - line + t;
    if (s > own) continue;
    const float* const b = InputRow(p, span, line + s) + b_column;
    float score = 0;
    for (int n = lane; n < p.state_size; n += kWarp) score += c[t * p.state_size + n] * b[n];
    score = WarpSum(score);
    if (lane == 0) factors[t * kMaxGrid + s] = score * expf(cs[own] - cs[s]) * dt[s];
  }
}

// Four columns of x of a row from column `p4` on, zero past the head's.
__device__ __forceinline__ Vec<float, 4> XOf(const SsmParams& p, const float* row, int head, int column) {
  const float* const x = row + static_cast<int64_t>(head) * p.head_dim + column;
  Vec<float, 4> v;
#pragma unroll
  for (int i = 0; i < 4; ++i) v[i] = column + i < p.head_dim ? x[i] : 0.0f;
  return v;
}

// This thread's part of the outputs of tokens [first, first + kCount): rows n of the state and s of the segment that
// are its group's.
template <int kCount>
__device__ void AddOwnPart(const SsmParams& p, const SequenceSpan& span, int head, int first, int group, int groups,
                           int column, SharedPtr<float> c, SharedPtr<float> cs, SharedPtr<float> factors,
                           float (&sums)[kCount][4]) {
  const int line = span.state_position, behind = span.start - line + first;
  if (line > 0) {
    const float* const state = StateOf(p, span, head) + column;
#pragma unroll 8
    for (int n = group; n < p.state_size; n += groups) {
      const Vec<float, 4> s = LoadVec<4>(state + static_cast<int64_t>(n) * p.padded);
#pragma unroll
      for (int t = 0; t < kCount; ++t) {
        const float factor = c[(first + t) * p.state_size + n];
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[t][i] = fmaf(factor, s[i], sums[t][i]);
      }
    }
  }
#pragma unroll
  for (int t = 0; t < kCount; ++t) {
    const float decay = expf(cs[behind + t]);
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[t][i] *= decay;
  }
  for (int s = group; s < behind + kCount; s += groups) {
    const Vec<float, 4> x = XOf(p, InputRow(p, span, line + s), head, column);
#pragma unroll
    for (int t = 0; t < kCount; ++t) {
      const float factor = s <= behind + t ? static_cast<float>(factors[(first + t) * kMaxGrid + s]) : 0.0f;
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[t][i] = fmaf(factor, x[i], sums[t][i]);
    }
  }
}

// Outputs of tokens [first, first + kCount); `parts` is [groups][kCount][padded].
template <int kCount>
__device__ void FewOutputs(const SsmParams& p, const SequenceSpan& span, int head, int first, SharedPtr<float> c,
                           SharedPtr<float> cs, SharedPtr<float> factors, SharedPtr<float> parts) {
  const int quads = p.padded / 4, groups = kThreads / quads;
  const int group = threadIdx.x / quads, column = threadIdx.x % quads * 4;
  if (group < groups) {
    float sums[kCount][4] = {};
    AddOwnPart<kCount>(p, span, head, first, group, groups, column, c, cs, factors, sums);
#pragma unroll
    for (int t = 0; t < kCount; ++t) {
      StoreVec<4>(parts + (group * kCount + t) * p.padded + column,
                  Vec<float, 4>{{sums[t][0], sums[t][1], sums[t][2], sums[t][3]}});
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kCount * p.head_dim; i += kThreads) {
    const int t = i / p.head_dim, own = i % p.head_dim, position = span.start + first + t;
    float sum = 0;
    for (int g = 0; g < groups; ++g) sum += parts[(g * kCount + t) * p.padded + own];
    const int64_t at = static_cast<int64_t>(head) * p.head_dim + own;
    p.y[(span.first_row + first + t) * p.y_stride + at] = fmaf(p.d[head], XbcRow(p, span, position)[at], sum);
  }
  __syncthreads();
}

// Floats of dynamic shared memory: C [kFew, state_size], then parts.
inline int64_t FewFloats(const MambaStateLayout& layout, int tokens) {
  const int64_t quads = layout.head_dim_padded() / 4, groups = kThreads / quads;
  return kFew * layout.state_size + groups * tokens * layout.head_dim_padded();
}

// Grid: (heads, sequences).
static __global__ void __launch_bounds__(kThreads) FewTokens(const SsmParams p) {
  const SequenceSpan span = p.sequences[blockIdx.y];
  if (span.padding || span.num_tokens == 0 || !IsFew(p, span)) return;
  const int head = blockIdx.x, group = head / (p.heads / p.groups), line = span.state_position;
  const int rows = span.start + span.num_tokens - line;
  BRAID_SHARED(float, dt, kMaxGrid);
  BRAID_SHARED(float, cs, kMaxGrid);
  BRAID_SHARED(float, factors, kFew * kMaxGrid);
  const SharedPtr<float> c = DynamicShared<float>(), parts = c + kFew * p.state_size;
  const int64_t c_column = p.d_inner + p.d_bc + static_cast<int64_t>(group) * p.state_size;
  for (int i = threadIdx.x; i < span.num_tokens * p.state_size; i += kThreads) {
    c[i] = XbcRow(p, span, span.start + i / p.state_size)[c_column + i % p.state_size];
  }
  if (threadIdx.x < kWarp) TakeDecays(p, span, head, line, rows, dt, cs);
  __syncthreads();
  TakeFactors(p, span, group, rows, c, dt, cs, factors);
  __syncthreads();
  int t = 0;
  for (; t + kTokens <= span.num_tokens; t += kTokens) FewOutputs<kTokens>(p, span, head, t, c, cs, factors, parts);
  for (; t < span.num_tokens; ++t) FewOutputs<1>(p, span, head, t, c, cs, factors, parts);
}

}  // namespace braid::cuda::ssm
