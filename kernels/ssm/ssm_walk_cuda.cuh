// Prompt chunks, and whatever reaches a grid line: see ssm_cuda.cu.
#pragma once

#include "kernels/ssm/ssm_cuda.cuh"

namespace braid::cuda::ssm {

inline constexpr int kColumns = 32;  // of the state, in a block
inline constexpr int kTile = 4;

// A block's shared memory, in floats; rows are kept apart by 4 to spread them over the banks.
struct Segment {
  SharedPtr<float> state;    // [state_size, kColumns], then x [grid, kColumns]
  SharedPtr<float> x;
  SharedPtr<float> b;        // [grid, b_stride]
  SharedPtr<float> c;        // [grid, b_stride], then factors [grid, factor_stride]
  SharedPtr<float> factors;
  int b_stride, factor_stride;
};

__host__ __device__ constexpr int Padded(int n) { return (n + 3) / 4 * 4 + 4; }
inline int64_t WalkFloats(int state_size, int grid) {
  return int64_t{kColumns} * (state_size + grid) + int64_t{grid} * (2 * Padded(state_size) + Padded(grid));
}
__device__ inline Segment TakeSegment(const SsmParams& p) {
  const SharedPtr<float> all = DynamicShared<float>();
  const int stride = Padded(p.state_size);
  const SharedPtr<float> x = all + kColumns * p.state_size, b = x + kColumns * p.grid, c = b + stride * p.grid;
  return {all, x, b, c, c + stride * p.grid, stride, Padded(p.grid)};
}

__device__ inline void LoadState(const SsmParams& p, const SequenceSpan& span, int head, int first, const Segment& segment) {
  const float* const state = StateOf(p, span, head);
  for (int i = threadIdx.x; i < p.state_size * kColumns; i += kThreads) {
    const int n = i / kColumns, column = first + i % kColumns;
    const bool stored = span.state_position > 0 && column < p.head_dim;
    segment.state[i] = stored ? state[static_cast<int64_t>(n) * p.padded + column] : 0.0f;
  }
}

__device__ inline void StoreState(const SsmParams& p, const SequenceSpan& span, int head, int first, const Segment& segment) {
  float* const state = StateOf(p, span, head);
  for (int i = threadIdx.x; i < p.state_size * kColumns; i += kThreads) {
    const int n = i / kColumns, column = first + i % kColumns;
    if (column >= p.padded) continue;
    state[static_cast<int64_t>(n) * p.padded + column] =
        column < p.head_dim ? static_cast<float>(segment.state[i]) : 0.0f;
  }
}

// x, B and C of rows [line, stop); rows behind them and those without a C are zero.
__device__ inline void LoadRows(const SsmParams& p, const SequenceSpan& span, int head, int first, int line, int stop,
                         const Segment& segment) {
  const int64_t b_column = p.d_inner + static_cast<int64_t>(head / (p.heads / p.groups)) * p.state_size;
  for (int i = threadIdx.x; i < p.grid * kColumns; i += kThreads) {
    const int position = line + i / kColumns, column = first + i % kColumns;
    const bool there = position < stop && column < p.head_dim;
    segment.x[i] = there ? InputRow(p, span, position)[static_cast<int64_t>(head) * p.head_dim + column] : 0.0f;
  }
  const int padded = segment.b_stride - 4;
  for (int i = threadIdx.x; i < p.grid * padded; i += kThreads) {
    const int row = i / padded, n = i % padded, position = line + row;
    const bool there = position < stop && n < p.state_size;
    segment.b[row * segment.b_stride + n] = there ? InputRow(p, span, position)[b_column + n] : 0.0f;
    segment.c[row * segment.b_stride + n] =
        there && position >= span.start ? XbcRow(p, span, position)[b_column + p.d_bc + n] : 0.0f;
  }
}

using Tile = float[kTile][kTile];

// Adds over the four neighbouring lanes that share a tile.
__device__ __forceinline__ void SumOverLanes(Tile& tile) {
#pragma unroll
  for (int i = 0; i < kTile; ++i) {
#pragma unroll
    for (int j = 0; j < kTile; ++j) {
      tile[i][j] += __shfl_xor_sync(kFullMask, tile[i][j], 1);
      tile[i][j] += __shfl_xor_sync(kFullMask, tile[i][j], 2);
    }
  }
}

// factors[t][s] for all rows of the segment; four lanes share a tile and divide the state's rows.
__device__ inline void ComputeFactors(const SsmParams& p, const Segment& segment, SharedPtr<float> dt, SharedPtr<float> cs) {
  const int across = (p.grid + kTile - 1) / kTile, quarter = threadIdx.x % 4;
  // All lanes of a warp stay in the loop: they add up together.
  for (int first = 0; first < across * across; first += kThreads / 4) {
    const int tile = first + static_cast<int>(threadIdx.x) / 4, t = tile / across * kTile, s = tile % across * kTile;
    const bool mine = tile < across * across && s <= t + kTile - 1;
    Tile sums = {};
    for (int n = 4 * quarter; mine && n < p.state_size; n += 16) {
      Vec<float, 4> c[kTile], b[kTile];
#pragma unroll
      for (int i = 0; i < kTile; ++i) {
        c[i] = LoadVec<4>(segment.c + min(t + i, p.grid - 1) * segment.b_stride + n);
        b[i] = LoadVec<4>(segment.b + min(s + i, p.grid - 1) * segment.b_stride + n);
      }
#pragma unroll
      for (int i = 0; i < kTile; ++i) {
#pragma unroll
        for (int j = 0; j < kTile; ++j) {
#pragma unroll
          for (int k = 0; k < 4; ++k) sums[i][j] = fmaf(c[i][k], b[j][k], sums[i][j]);
        }
      }
    }
    SumOverLanes(sums);
    if (tile >= across * across) continue;
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      if (i != quarter || t + i >= p.grid) continue;
#pragma unroll
      for (int j = 0; j < kTile; ++j) {
        if (s + j >= p.grid) continue;
        const bool seen = s + j <= t + i;
        segment.factors[(t + i) * segment.factor_stride + s + j] =
            seen ? sums[i][j] * expf(cs[t + i] - cs[s + j]) * dt[s + j] : 0.0f;
      }
    }
  }
}

// sums += a [rows, k] m [k, columns] over this lane's quarter of k, rounds of 4.
__device__ __forceinline__ void MultiplyQuarter(SharedPtr<float> a, int a_stride, SharedPtr<float> m, int depth,
                                                int quarter, Tile& sums) {
  for (int k = 4 * quarter; k < depth; k += 16) {
    Vec<float, 4> left[kTile], right[4];
#pragma unroll
    for (int i = 0; i < kTile; ++i) left[i] = LoadVec<4>(a + i * a_stride + k);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (k + i < depth) {
        right[i] = LoadVec<4>(m + (k + i) * kColumns);
      } else {
        right[i] = Vec<float, 4>{};
      }
    }
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
#pragma unroll
      for (int j = 0; j < kTile; ++j) {
#pragma unroll
        for (int l = 0; l < 4; ++l) sums[i][j] = fmaf(left[i][l], right[l][j], sums[i][j]);
      }
    }
  }
}

// y of the segment's rows [begin, stop), columns [first, first + kColumns).
__device__ inline void ComputeOutputs(const SsmParams& p, const SequenceSpan& span, int head, int first, int line, int begin,
                               int stop, const Segment& segment, SharedPtr<float> cs) {
  constexpr int kAcross = kColumns / kTile;
  const int quarter = threadIdx.x % 4, begin_row = (begin - line) / kTile * kTile, rows = stop - line - begin_row;
  const int tiles = (rows + kTile - 1) / kTile * kAcross;
  for (int at = 0; at < tiles; at += kThreads / 4) {
    const int tile = at + static_cast<int>(threadIdx.x) / 4;
    const int row = begin_row + min(tile / kAcross * kTile, p.grid - kTile - begin_row), column = tile % kAcross * kTile;
    Tile sums = {};
    MultiplyQuarter(segment.c + row * segment.b_stride, segment.b_stride, segment.state + column, p.state_size, quarter,
                    sums);
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      const float decay = expf(cs[row + i]);
#pragma unroll
      for (int j = 0; j < kTile; ++j) sums[i][j] *= decay;
    }
    MultiplyQuarter(segment.factors + row * segment.factor_stride, segment.factor_stride, segment.x + column,
                    min(row + kTile, p.grid), quarter, sums);
    SumOverLanes(sums);
    if (tile >= tiles) continue;
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      const int position = line + row + i;
      if (i != quarter || position < begin || position >= stop) continue;
#pragma unroll
      for (int j = 0; j < kTile; ++j) {
        if (first + column + j >= p.head_dim) continue;
        const int64_t to = static_cast<int64_t>(head) * p.head_dim + first + column + j;
        p.y[(span.first_row + position - span.start) * p.y_stride + to] =
            fmaf(p.d[head], segment.x[(row + i) * kColumns + column + j], sums[i][j]);
      }
    }
  }
}

// The state at the next line: exp(cs_last) S + sum_s exp(cs_last - cs_s) dt_s B_s (x) x_s.
__device__ inline void Fold(const SsmParams& p, const Segment& segment, SharedPtr<float> dt, SharedPtr<float> cs) {
  constexpr int kAcross = kColumns / kTile;
  const float last = cs[p.grid - 1], decay = expf(last);
  const int tiles = (p.state_size + kTile - 1) / kTile * kAcross;
  for (int tile = threadIdx.x; tile < tiles; tile += kThreads) {
    const int n = tile / kAcross * kTile, column = tile % kAcross * kTile;
    Tile sums = {};
    for (int s = 0; s < p.grid; ++s) {
      const float factor = expf(last - cs[s]) * dt[s];
      const Vec<float, 4> b = LoadVec<4>(segment.b + s * segment.b_stride + n);
      const Vec<float, 4> x = LoadVec<4>(segment.x + s * kColumns + column);
#pragma unroll
      for (int i = 0; i < kTile; ++i) {
        const float left = factor * b[i];
#pragma unroll
        for (int j = 0; j < kTile; ++j) sums[i][j] = fmaf(left, x[j], sums[i][j]);
      }
    }
#pragma unroll
    for (int i = 0; i < kTile; ++i) {
      if (n + i >= p.state_size) continue;
      const SharedPtr<float> to = segment.state + (n + i) * kColumns + column;
      const Vec<float, 4> old = LoadVec<4>(to);
      Vec<float, 4> folded;
#pragma unroll
      for (int j = 0; j < kTile; ++j) folded[j] = fmaf(decay, old[j], sums[i][j]);
      StoreVec<4>(to, folded);
    }
  }
}

__device__ inline void WalkSequence(const SsmParams& p, const SequenceSpan& span, const Segment& segment,
                                    SharedPtr<float> dt, SharedPtr<float> cs) {
  const int head = blockIdx.y, first = blockIdx.x * kColumns;
  const int end = span.start + span.num_tokens, committed = span.start + span.num_committed;
  LoadState(p, span, head, first, segment);
  for (int line = span.state_position; line < end; line += p.grid) {
    const int stop = min(line + p.grid, end), begin = max(line, span.start);
    __syncthreads();
    LoadRows(p, span, head, first, line, stop, segment);
    if (threadIdx.x < kWarp) TakeDecays(p, span, head, line, stop - line, dt, cs);
    __syncthreads();
    if (begin < stop) {
      ComputeFactors(p, segment, dt, cs);
      __syncthreads();
      ComputeOutputs(p, span, head, first, line, begin, stop, segment, cs);
    }
    __syncthreads();
    if (stop < line + p.grid) return;
    Fold(p, segment, dt, cs);
    __syncthreads();
    if (stop <= committed) StoreState(p, span, head, first, segment);
  }
  __syncthreads();
}

// Grid: (slices of columns, heads, some). Blocks of one z take every gridDim.z-th sequence: in a step of decode hardly
// any is left to them, and a block for each would take longer to come and go than the rest of the step.
static __global__ void __launch_bounds__(kThreads) WalkTokens(const SsmParams p, int num_sequences) {
  BRAID_SHARED(float, dt, kMaxGrid);
  BRAID_SHARED(float, cs, kMaxGrid);
  const Segment segment = TakeSegment(p);
  const int apart = gridDim.z, lane = threadIdx.x % kWarp;
  for (int first = blockIdx.z; first < num_sequences; first += apart * kWarp) {
    const int mine = first + lane * apart;
    const bool walks = mine < num_sequences && Walks(p, p.sequences[mine]);
    for (unsigned left = __ballot_sync(kFullMask, walks); left != 0; left &= left - 1) {
      WalkSequence(p, p.sequences[first + (__ffs(static_cast<int>(left)) - 1) * apart], segment, dt, cs);
    }
  }
}

}  // namespace braid::cuda::ssm
