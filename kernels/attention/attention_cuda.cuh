// The kernel of attention_cuda.cu, templated by head size, terms and the way its warps divide the work. Included by one
// attention_<head size>_cuda.cu each.
//
// A block has the rows (token, head) of one KV head, so that K and V are read once for all heads of the group, and walks
// KV tiles at absolute positions with an online softmax. Scores and outputs are tensor-core products; numbers finer than
// bf16 are sums of up to three terms (linear/gemm_cuda.h). Tiles of a bf16 cache come by cp.async, the next while one is
// multiplied; others are converted on the way.
//   kRows: four warps have 16 rows each and share the tile (prompt chunks). Bound by tensor cores and shared memory.
//   kPositions: the warps have the same 16 rows and 16 positions of the tile each; blocks divide the context (decode).
//   Bound by the bytes of K and V.
#pragma once

#include "kernels/attention/attention_tiles_cuda.cuh"
#include "kernels/cuda_step.h"

namespace braid::cuda {

// ---- products

// Fragments of B [16, 16] at `row`, `column` of rows `stride` apart: {tile 0: b0, b1, tile 1: b0, b1}.
__device__ inline void LoadB(SharedPtr<uint16_t> at, int stride, int row, int column, uint32_t (&b)[4]) {
  const int lane = threadIdx.x % 32;
  LdMatrixX4Trans(b, at + (row + lane / 8 % 2 * 8 + lane % 8) * stride + column + lane / 16 * 8);
}

// (left, right) += a B for all pairs of terms that matter.
template <class S, int kTerms>
__device__ inline void MultiplyTerms(const AttentionParams& p, const uint32_t (&a)[kTerms][4], SharedPtr<uint16_t> at,
                                     int stride, int row, int column, float (&left)[4], float (&right)[4]) {
  for (int w = 0; w < p.kv_terms; ++w) {
    uint32_t b[4];
    LoadB(at + w * S::kTermWords, stride, row, column, b);
    const uint32_t b_left[2] = {b[0], b[1]}, b_right[2] = {b[2], b[3]};
#pragma unroll
    for (int x = 0; x < kTerms; ++x) {
      if (x + w > 2) continue;
      MmaBf16(left, a[x], b_left);
      MmaBf16(right, a[x], b_right);
    }
  }
}

// The online softmax of a lane's two rows, and its part of their values.
template <int kDim>
struct RowState {
  float max[2], sum[2] = {0.0f, 0.0f};
  float values[kDim / 8][4] = {};
};

__device__ inline float Infinity() { return __uint_as_float(0x7f800000u); }
__device__ inline float QuadMax(float v) {
  v = fmaxf(v, __shfl_xor_sync(kFullMask, v, 1));
  return fmaxf(v, __shfl_xor_sync(kFullMask, v, 2));
}
__device__ inline float QuadSum(float v) {
  v += __shfl_xor_sync(kFullMask, v, 1);
  return v + __shfl_xor_sync(kFullMask, v, 2);
}

// What exponents are taken against: 0 while a row has seen nothing.
__device__ inline float Base(float max) { return max == -Infinity() ? 0.0f : max; }

// Scores of positions from `first` on become weights, and the rows' state is brought up to them.
template <int kTiles, int kDim>
__device__ void Weigh(const QueryRow (&rows)[2], int first, float (&scores)[kTiles][4], RowState<kDim>& state) {
  float max[2] = {state.max[0], state.max[1]};
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const QueryRow& row = rows[i / 2];
      const int s = first + n * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
      const bool seen = row.token >= 0 && s <= row.position && s >= row.first;
      scores[n][i] = seen ? scores[n][i] + row.slope * static_cast<float>(s - row.position) : -Infinity();
      max[i / 2] = fmaxf(max[i / 2], scores[n][i]);
    }
  }
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    max[r] = QuadMax(max[r]);
    const float fade = expf(state.max[r] - Base(max[r]));
    state.max[r] = max[r];
    state.sum[r] *= fade;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      state.values[n][2 * r] *= fade;
      state.values[n][2 * r + 1] *= fade;
    }
  }
#pragma unroll
  for (int n = 0; n < kTiles; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      scores[n][i] = expf(scores[n][i] - Base(max[i / 2]));
      state.sum[i / 2] += scores[n][i];
    }
  }
}

// One tile: scores, weights, values. `column` is the warp's first position in the tile.
template <int kDim, int kTerms, Divide kDivide>
__device__ void MultiplyTile(const AttentionParams& p, const QueryRow (&rows)[2], SharedPtr<uint4> queries,
                             SharedPtr<uint16_t> tile, int first, int column, RowState<kDim>& state) {
  using S = AttentionShape<kDim, kTerms, kDivide>;
  constexpr int kTiles = S::kWarpPositions / 8;
  const int lane = threadIdx.x % 32, steps = (p.head_dim + 15) / 16;
  float scores[kTiles][4] = {};
  for (int step = 0; step < steps; ++step) {
    uint32_t a[kTerms][4];
#pragma unroll
    for (int term = 0; term < kTerms; ++term) {
      const uint4 four = queries[(step * kTerms + term) * 32 + lane];
      a[term][0] = four.x;
      a[term][1] = four.y;
      a[term][2] = four.z;
      a[term][3] = four.w;
    }
#pragma unroll
    for (int n = 0; n < kTiles; n += 2) {
      MultiplyTerms<S, kTerms>(p, a, tile, S::kKStride, step * 16, column + n * 8, scores[n], scores[n + 1]);
    }
  }
  Weigh<kTiles, kDim>(rows, first + column, scores, state);
#pragma unroll
  for (int k = 0; k < kTiles / 2; ++k) {
    const float(&left)[4] = scores[2 * k], (&right)[4] = scores[2 * k + 1];
    uint32_t a[kTerms][4];
    SplitFragment<kTerms>({make_float2(left[0], left[1]), make_float2(left[2], left[3]),
                           make_float2(right[0], right[1]), make_float2(right[2], right[3])}, a);
#pragma unroll
    for (int n = 0; n < kDim / 8; n += 2) {
      if (n < 2 * steps) {
        MultiplyTerms<S, kTerms>(p, a, tile + S::kKWords, S::kVStride, column + k * 16, n * 8, state.values[n],
                                 state.values[n + 1]);
      }
    }
  }
}

// ---- results

// Normalises a row's values: its sink is one more score without a value.
struct Norm {
  float factor;
};
__device__ inline Norm NormOf(const AttentionParams& p, int head, float max, float sum) {
  const float top = p.sinks != nullptr ? fmaxf(max, p.sinks[head]) : max;
  const float fade = expf(max - Base(top));
  const float sink = p.sinks != nullptr ? expf(p.sinks[head] - Base(top)) : 0.0f;
  return {fade / (sum * fade + sink)};
}

__device__ inline float* OutOf(const AttentionParams& p, int token, int head) {
  return p.out + token * p.out_stride + static_cast<int64_t>(head) * p.head_dim;
}

// Where the part of token `t` of a sequence lies.
__device__ inline int64_t PartialIndex(const AttentionParams& p, int split, int sequence, int t, int head) {
  return ((static_cast<int64_t>(split) * p.num_sequences + sequence) * p.few + t) * p.heads + head;
}

// From a warp's registers.
template <int kDim>
__device__ void WriteRows(const AttentionParams& p, const QueryRow (&rows)[2], RowState<kDim>& state) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float sum = QuadSum(state.sum[r]);
    if (rows[r].token < 0) continue;
    const float factor = NormOf(p, rows[r].head, state.max[r], sum).factor;
    float* const out = OutOf(p, rows[r].token, rows[r].head);
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      const int d = n * 8 + static_cast<int>(threadIdx.x) % 4 * 2;
      if (d < p.head_dim) out[d] = state.values[n][2 * r] * factor;
      if (d + 1 < p.head_dim) out[d + 1] = state.values[n][2 * r + 1] * factor;
    }
  }
}

// Merges the warps' states through `shared` [kWarps][16][kDim + 2] (values, greatest score, sum) and writes the rows, or
// their part of split `split`.
template <int kDim, int kWarps>
__device__ void MergeRows(const AttentionParams& p, const SequenceSpan& span, int kv_head, int first_row, int split,
                          SharedPtr<float> shared, RowState<kDim>& state) {
  constexpr int kRow = kDim + 2;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const SharedPtr<float> to = shared + (warp * 16 + lane / 4 + 8 * r) * kRow;
    const float sum = QuadSum(state.sum[r]);
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
      to[n * 8 + lane % 4 * 2] = state.values[n][2 * r];
      to[n * 8 + lane % 4 * 2 + 1] = state.values[n][2 * r + 1];
    }
    if (lane % 4 == 0) {
      to[kDim] = state.max[r];
      to[kDim + 1] = sum;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < 16 * p.head_dim; i += kWarps * 32) {
    const int in_tile = i / p.head_dim, d = i % p.head_dim;
    const QueryRow row = RowAt(p, span, kv_head, first_row + in_tile);
    if (row.token < 0) continue;
    float max = -Infinity(), sum = 0, value = 0;
    for (int w = 0; w < kWarps; ++w) max = fmaxf(max, shared[(w * 16 + in_tile) * kRow + kDim]);
    for (int w = 0; w < kWarps; ++w) {
      const SharedPtr<float> from = shared + (w * 16 + in_tile) * kRow;
      const float fade = expf(from[kDim] - Base(max));
      sum += fade * from[kDim + 1];
      value += fade * from[d];
    }
    if (p.splits == 1) {
      OutOf(p, row.token, row.head)[d] = value * NormOf(p, row.head, max, sum).factor;
      continue;
    }
    const int64_t at = PartialIndex(p, split, blockIdx.z, row.token - span.first_row, row.head);
    p.partial_values[at * p.head_dim + d] = value;
    if (d != 0) continue;
    p.partial_max[at] = max;
    p.partial_sum[at] = sum;
  }
}

// ---- the kernel

// The tiles of kPositions that a block walks: tile i begins at begin + i * kPositions; nobody sees `end` or later.
struct TileRange {
  int begin, end;
  int first, last;
};

// This split's part of the positions that any of the block's rows sees. Tiles begin at multiples of 16.
template <class S>
__device__ TileRange RangeOf(const AttentionParams& p, const SequenceSpan& span, int first_row, int split) {
  const int last_row = min(first_row + S::kBlockRows, span.num_tokens * p.group) - 1;
  const int earliest = p.window > 0 ? max(0, span.start + first_row / p.group + 1 - p.window) : 0;
  TileRange range;
  range.begin = earliest / 16 * 16;
  range.end = span.start + last_row / p.group + 1;
  const int tiles = (range.end - range.begin + S::kPositions - 1) / S::kPositions;
  const int per_split = (tiles + p.splits - 1) / p.splits;
  range.first = split * per_split;
  range.last = min(range.first + per_split, tiles);
  return range;
}

template <int kDim, int kTerms, Divide kDivide>
__device__ void WalkTiles(const AttentionParams& p, const SequenceSpan& span, int kv_head, const TileRange& range,
                          const QueryRow (&rows)[2], SharedPtr<uint4> queries, SharedPtr<uint16_t> tiles,
                          RowState<kDim>& state) {
  using S = AttentionShape<kDim, kTerms, kDivide>;
  const auto place = [&](int tile) { return tiles + tile % S::kBuffers * p.kv_terms * S::kTermWords; };
  const auto take = [&](int tile) {
    if (tile >= range.last) return;
    TakeTile<S>(p, span, kv_head, range.begin + tile * S::kPositions, range.end, place(tile));
  };
  if (S::kBuffers == 2) take(range.first);
  for (int tile = range.first; tile < range.last; ++tile) {
    take(tile + S::kBuffers - 1);
    if (S::kBuffers == 2 && tile + 1 < range.last) {
      CpAsyncWait<1>();
    } else {
      CpAsyncWait<0>();
    }
    __syncthreads();
    MultiplyTile<kDim, kTerms, kDivide>(p, rows, queries, place(tile), range.begin + tile * S::kPositions,
                                        S::kSplit ? static_cast<int>(threadIdx.x) / 32 * 16 : 0, state);
    __syncthreads();
  }
}

// The sequence and the first row of a block.
struct BlockRows {
  int sequence = -1;  // -1: none
  int first = 0;
};

// Tile `index` of the row tiles of all prompt chunks, by sequence. Every warp searches for itself.
template <class S>
__device__ BlockRows FindRows(const AttentionParams& p, int index) {
  const int lane = threadIdx.x % kWarp;
  for (int first = 0; first < p.num_sequences; first += kWarp) {
    int tiles = 0;
    if (first + lane < p.num_sequences) {
      const SequenceSpan& span = p.sequences[first + lane];
      const bool chunk = !span.padding && span.num_tokens > kFewQueryTokens;
      tiles = chunk ? (span.num_tokens * p.group + S::kBlockRows - 1) / S::kBlockRows : 0;
    }
    int sum = tiles;
    for (int lanes = 1; lanes < kWarp; lanes *= 2) {
      const int below = __shfl_up_sync(kFullMask, sum, lanes);
      if (lane >= lanes) sum += below;
    }
    const unsigned past = __ballot_sync(kFullMask, index < sum);
    if (past != 0) {
      const int found = __ffs(static_cast<int>(past)) - 1, before = __shfl_sync(kFullMask, sum - tiles, found);
      return {first + found, (index - before) * S::kBlockRows};
    }
    index -= __shfl_sync(kFullMask, sum, kWarp - 1);
  }
  return {};
}

// Decode: the grid has row tiles x splits for each sequence.
template <class S>
__device__ BlockRows RowsOfFew(const AttentionParams& p) {
  const SequenceSpan& span = p.sequences[blockIdx.z];
  const int first = blockIdx.x / p.splits * S::kBlockRows;
  if (span.padding || span.num_tokens > kFewQueryTokens || first >= span.num_tokens * p.group) return {};
  return {static_cast<int>(blockIdx.z), first};
}

// Grid: (row tiles x splits, KV heads, sequences), or (row tiles of all sequences, KV heads).
template <int kDim, int kTerms, Divide kDivide>
__global__ void __launch_bounds__(AttentionShape<kDim, kTerms, kDivide>::kThreads) Attend(const AttentionParams p) {
  using S = AttentionShape<kDim, kTerms, kDivide>;
  const BlockRows block = S::kSplit ? RowsOfFew<S>(p) : FindRows<S>(p, blockIdx.x);
  if (block.sequence < 0) return;
  const SequenceSpan span = p.sequences[block.sequence];
  const int kv_head = blockIdx.y, split = S::kSplit ? blockIdx.x % p.splits : 0, first_row = block.first;
  const int row_tile = S::kSplit ? 0 : threadIdx.x / 32, lane = threadIdx.x % 32;
  const SharedPtr<uint4> queries = DynamicShared<uint4>();
  const SharedPtr<uint16_t> tiles = SharedCast<uint16_t>(queries + S::kQueryVectors);
  QueryRow rows[2];
  RowState<kDim> state;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    rows[r] = RowAt(p, span, kv_head, first_row + row_tile * 16 + lane / 4 + 8 * r);
    state.max[r] = -Infinity();
  }
  LoadQueries<kDim, kTerms, kDivide>(p, span, kv_head, first_row, queries);
  ZeroPadding<S>(p, S::kBuffers * p.kv_terms, tiles);
  __syncthreads();
  WalkTiles<kDim, kTerms, kDivide>(p, span, kv_head, RangeOf<S>(p, span, first_row, split), rows,
                                   queries + row_tile * (kDim / 16) * kTerms * 32, tiles, state);
  if constexpr (S::kSplit) {
    MergeRows<kDim, S::kWarps>(p, span, kv_head, first_row, split, SharedCast<float>(tiles), state);
  } else {
    WriteRows<kDim>(p, rows, state);
  }
}

// ---- launches

struct AttentionLaunch {
  AttentionParams params;
  Precision precision;
  Divide divide;
  cudaStream_t stream;
};

template <int kDim, int kTerms, Divide kDivide>
void LaunchShape(const AttentionLaunch& launch) {
  using S = AttentionShape<kDim, kTerms, kDivide>;
  const AttentionParams& p = launch.params;
  Launch(Attend<kDim, kTerms, kDivide>,
         {.grid = {static_cast<unsigned>(p.row_tiles * p.splits), static_cast<unsigned>(p.kv_heads),
                   static_cast<unsigned>(S::kSplit ? p.num_sequences : 1)},
          .block = S::kThreads,
          .shared_bytes = static_cast<size_t>(S::Bytes(p.kv_terms)),
          .stream = launch.stream},
         p);
}

template <int kDim>
void LaunchAttention(const AttentionLaunch& launch) {
  const bool rows = launch.divide == Divide::kRows;
  if (launch.precision == Precision::kBf16) {
    return rows ? LaunchShape<kDim, 1, Divide::kRows>(launch) : LaunchShape<kDim, 1, Divide::kPositions>(launch);
  }
  rows ? LaunchShape<kDim, 3, Divide::kRows>(launch) : LaunchShape<kDim, 3, Divide::kPositions>(launch);
}

// One translation unit each.
void Attend64(const AttentionLaunch& launch);
void Attend128(const AttentionLaunch& launch);
void Attend256(const AttentionLaunch& launch);

}  // namespace braid::cuda
