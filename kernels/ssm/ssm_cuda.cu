// Three kernels, one behind the other:
//   FewTokens   sequences with few tokens that stay before the next grid line (decode): outputs from the slot's state
//               and the ring. A block has one head; its state passes once for four tokens and is all that counts: 4 *
//               state_size * head_dim bytes from memory.
//   WalkTokens  all other sequences: a block walks the segments between grid lines with 32 columns of one head's state
//               in shared memory. Scores, outputs and folds are small matrix products in tiles of 4 x 4 a thread,
//               bound by shared memory and f32 arithmetic.
//   WriteRing   the rows that a later step needs, after all rows of the ring were read.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"

namespace braid::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kFew = 8;          // tokens of a sequence that FewTokens takes
constexpr int kTokens = 4;       // for which the state passes once
constexpr int kMaxGrid = 64;
constexpr int kColumns = 32;     // of the state, in a block of WalkTokens
constexpr int kTile = 4;

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
__device__ void TakeDecays(const SsmParams& p, const SequenceSpan& span, int head, int line, int count,
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

// ---- FewTokens

// factors[t][s] = (C_t . B_s) exp(cs_t - cs_s) dt_s for the segment's rows s up to token t's; a warp for each pair.
__device__ void TakeFactors(const SsmParams& p, const SequenceSpan& span, int group, int rows, SharedPtr<float> c,
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
int64_t FewFloats(const MambaStateLayout& layout, int tokens) {
  const int64_t quads = layout.head_dim_padded() / 4, groups = kThreads / quads;
  return kFew * layout.state_size + groups * tokens * layout.head_dim_padded();
}

// Grid: (heads, sequences).
__global__ void __launch_bounds__(kThreads) FewTokens(const SsmParams p) {
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

// ---- WalkTokens

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
int64_t WalkFloats(int state_size, int grid) {
  return int64_t{kColumns} * (state_size + grid) + int64_t{grid} * (2 * Padded(state_size) + Padded(grid));
}
__device__ inline Segment TakeSegment(const SsmParams& p) {
  const SharedPtr<float> all = DynamicShared<float>();
  const int stride = Padded(p.state_size);
  const SharedPtr<float> x = all + kColumns * p.state_size, b = x + kColumns * p.grid, c = b + stride * p.grid;
  return {all, x, b, c, c + stride * p.grid, stride, Padded(p.grid)};
}

__device__ void LoadState(const SsmParams& p, const SequenceSpan& span, int head, int first, const Segment& segment) {
  const float* const state = StateOf(p, span, head);
  for (int i = threadIdx.x; i < p.state_size * kColumns; i += kThreads) {
    const int n = i / kColumns, column = first + i % kColumns;
    const bool stored = span.state_position > 0 && column < p.head_dim;
    segment.state[i] = stored ? state[static_cast<int64_t>(n) * p.padded + column] : 0.0f;
  }
}

__device__ void StoreState(const SsmParams& p, const SequenceSpan& span, int head, int first, const Segment& segment) {
  float* const state = StateOf(p, span, head);
  for (int i = threadIdx.x; i < p.state_size * kColumns; i += kThreads) {
    const int n = i / kColumns, column = first + i % kColumns;
    if (column >= p.padded) continue;
    state[static_cast<int64_t>(n) * p.padded + column] =
        column < p.head_dim ? static_cast<float>(segment.state[i]) : 0.0f;
  }
}

// x, B and C of rows [line, stop); rows behind them and those without a C are zero.
__device__ void LoadRows(const SsmParams& p, const SequenceSpan& span, int head, int first, int line, int stop,
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
__device__ void ComputeFactors(const SsmParams& p, const Segment& segment, SharedPtr<float> dt, SharedPtr<float> cs) {
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
__device__ void ComputeOutputs(const SsmParams& p, const SequenceSpan& span, int head, int first, int line, int begin,
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
__device__ void Fold(const SsmParams& p, const Segment& segment, SharedPtr<float> dt, SharedPtr<float> cs) {
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

// Grid: (slices of columns, heads, sequences).
__global__ void __launch_bounds__(kThreads) WalkTokens(const SsmParams p) {
  const SequenceSpan span = p.sequences[blockIdx.z];
  if (span.padding || span.num_tokens == 0 || IsFew(p, span)) return;
  const int head = blockIdx.y, first = blockIdx.x * kColumns;
  const int end = span.start + span.num_tokens, committed = span.start + span.num_committed;
  BRAID_SHARED(float, dt, kMaxGrid);
  BRAID_SHARED(float, cs, kMaxGrid);
  const Segment segment = TakeSegment(p);
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
    if (stop < line + p.grid) return;
    __syncthreads();
    Fold(p, segment, dt, cs);
    if (stop > committed) continue;
    __syncthreads();
    StoreState(p, span, head, first, segment);
  }
}

// ---- WriteRing

// Grid: (columns, tokens).
__global__ void __launch_bounds__(kThreads) WriteRing(const SsmParams p) {
  const int row = blockIdx.y, sequence = p.token_sequence[row];
  if (sequence < 0) return;
  const SequenceSpan span = p.sequences[sequence];
  const int position = span.start + row - span.first_row;
  if (span.padding || position < LineAfter(p, span)) return;
  const int64_t words = p.d_inner + p.d_bc, i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= words + p.heads) return;
  RingRow(p, span, position)[i] =
      i < words ? p.xbc[row * p.xbc_stride + i] : StepOf(p, row, static_cast<int>(i - words));
}

SsmParams ParamsOf(const SsmArgs& args, const DeviceBatch& batch) {
  const MambaStateLayout& layout = args.layout;
  return {.xbc = args.xbc.f32(), .dt = args.dt.f32(), .dt_bias = args.dt_bias, .a = args.a, .d = args.d,
          .xbc_stride = args.xbc.stride, .dt_stride = args.dt.stride, .dt_min = args.dt_min, .dt_max = args.dt_max,
          .state = args.state.data, .slot_stride = args.state.slot_stride, .y = args.y.f32(),
          .y_stride = args.y.stride, .sequences = batch.sequences, .token_sequence = batch.token_sequence,
          .heads = layout.heads, .head_dim = layout.head_dim, .padded = static_cast<int>(layout.head_dim_padded()),
          .state_size = layout.state_size, .groups = layout.groups, .grid = layout.grid,
          .ring_rows = static_cast<int>(layout.ring_rows()), .ring_offset = layout.ring_offset(),
          .ring_row_words = layout.ring_row_words(), .d_inner = layout.d_inner(), .d_bc = layout.d_bc()};
}

uint32_t Blocks(int64_t count, int64_t per_block) { return static_cast<uint32_t>(CeilDiv(count, per_block)); }

}  // namespace

void Ssm(const SsmArgs& args, Step& step) {
  if (step.measuring()) return;
  const DeviceBatch& batch = step.Place(*args.batch);
  if (batch.num_tokens == 0) return;
  const MambaStateLayout& layout = args.layout;
  CHECK(layout.grid % kTile == 0 && layout.grid <= kMaxGrid) << "grid " << layout.grid;
  CHECK_LE(layout.head_dim_padded(), 4 * kThreads);
  const SsmParams params = ParamsOf(args, batch);
  const uint32_t heads = static_cast<uint32_t>(layout.heads), sequences = static_cast<uint32_t>(batch.num_sequences);
  Launch(FewTokens,
         {.grid = {heads, sequences},
          .block = kThreads,
          .shared_bytes = static_cast<size_t>(4 * FewFloats(layout, batch.max_span_tokens == 1 ? 1 : kTokens)),
          .stream = step.stream()},
         params);
  Launch(WalkTokens,
         {.grid = {Blocks(layout.head_dim_padded(), kColumns), heads, sequences},
          .block = kThreads,
          .shared_bytes = static_cast<size_t>(4 * WalkFloats(layout.state_size, layout.grid)),
          .stream = step.stream()},
         params);
  Launch(WriteRing,
         {.grid = {Blocks(layout.d_inner() + layout.d_bc() + layout.heads, kThreads),
                   static_cast<uint32_t>(batch.num_tokens)},
          .block = kThreads,
          .stream = step.stream()},
         params);
}

}  // namespace braid::cuda
