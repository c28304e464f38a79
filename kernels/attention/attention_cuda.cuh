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

#include "kernels/attention/attention.h"
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_step.h"
#include "kernels/linear/weight_fragments_cuda.cuh"

namespace braid::cuda {

struct AttentionParams {
  const float* q;
  int64_t q_stride;
  float* out;
  int64_t out_stride;
  int heads, group, head_dim, window;  // group: heads of a KV head
  float scale;
  const float *slopes, *sinks;
  const SequenceSpan* sequences;
  const int32_t* token_sequence;
  int num_sequences, row_tiles, splits, few;  // few: most tokens of a sequence whose context is divided
  const std::byte* cache;
  DType dtype;
  int block_size, kv_heads;
  bool async;    // tiles come by cp.async
  int kv_terms;
  // [splits, sequences, few, heads]: sums of values [head_dim], greatest score and sum of weights. With splits > 1.
  float *partial_values, *partial_max, *partial_sum;
};

// Sequences with at most so many tokens take the blocks that divide positions.
inline constexpr int kFewQueryTokens = 8;

enum class Divide { kRows, kPositions };

template <int kDim, int kTerms, Divide kDivide>
struct AttentionShape {
  static constexpr bool kSplit = kDivide == Divide::kPositions;
  static constexpr int kPositions = kTerms == 1 ? 64 : 32;  // of a tile
  static constexpr int kWarps = kSplit ? kPositions / 16 : 4;
  static constexpr int kThreads = kWarps * 32;
  static constexpr int kRowTiles = kSplit ? 1 : kWarps;     // of 16 rows
  static constexpr int kBlockRows = 16 * kRowTiles;
  static constexpr int kWarpPositions = kSplit ? 16 : kPositions;
  static constexpr int kBuffers = kTerms == 1 ? 2 : 1;
  // Rows of a tile are 16 bytes longer than they need be, which spreads eight of them over all banks.
  static constexpr int kKStride = kPositions + 8, kVStride = kDim + 8;
  static constexpr int kKWords = kDim * kKStride, kTermWords = kKWords + kPositions * kVStride;  // of 2 bytes
  static constexpr int kQueryVectors = kRowTiles * (kDim / 16) * kTerms * 32;                   // of 16 bytes
  static constexpr int64_t Bytes(int kv_terms) {
    const int64_t tiles = 2LL * kBuffers * kv_terms * kTermWords, merged = kSplit ? 4LL * kWarps * 16 * (kDim + 2) : 0;
    return 16LL * kQueryVectors + (tiles > merged ? tiles : merged);
  }
};

// ---- the rows of a block

// Two rows of a lane: r and r + 8 of its warp's sixteen.
struct QueryRow {
  int token = -1;  // row of q and out; -1: none
  int head = 0;
  int position = 0;
  int first = 0;   // the earliest position it sees
  float slope = 0;
};

__device__ inline QueryRow RowAt(const AttentionParams& p, const SequenceSpan& span, int kv_head, int row) {
  QueryRow query;
  const int t = row / p.group;
  if (t >= span.num_tokens) return query;
  query.token = span.first_row + t;
  query.head = kv_head * p.group + row % p.group;
  query.position = span.start + t;
  query.first = p.window > 0 ? max(0, query.position - p.window + 1) : 0;
  query.slope = p.slopes != nullptr ? p.slopes[query.head] : 0.0f;
  return query;
}

__device__ inline float2 QueryPair(const AttentionParams& p, const QueryRow& row, int d) {
  if (row.token < 0) return make_float2(0.0f, 0.0f);
  const float* const q = p.q + row.token * p.q_stride + static_cast<int64_t>(row.head) * p.head_dim + d;
  return make_float2(d < p.head_dim ? q[0] * p.scale : 0.0f, d + 1 < p.head_dim ? q[1] * p.scale : 0.0f);
}

// Lays the block's rows, times scale, out as A fragments [row tiles][steps][terms][lanes].
template <int kDim, int kTerms, Divide kDivide>
__device__ void LoadQueries(const AttentionParams& p, const SequenceSpan& span, int kv_head, int first_row,
                            SharedPtr<uint4> queries) {
  using S = AttentionShape<kDim, kTerms, kDivide>;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (int i = warp; i < S::kRowTiles * (kDim / 16); i += S::kWarps) {
    const int tile = i / (kDim / 16), d = i % (kDim / 16) * 16 + lane % 4 * 2;
    const QueryRow low = RowAt(p, span, kv_head, first_row + tile * 16 + lane / 4);
    const QueryRow high = RowAt(p, span, kv_head, first_row + tile * 16 + lane / 4 + 8);
    const float2 x0 = QueryPair(p, low, d), x1 = QueryPair(p, high, d);
    const float2 x2 = QueryPair(p, low, d + 8), x3 = QueryPair(p, high, d + 8);
    uint32_t t0[kTerms], t1[kTerms], t2[kTerms], t3[kTerms];
    SplitPair<kTerms>(x0.x, x0.y, t0);
    SplitPair<kTerms>(x1.x, x1.y, t1);
    SplitPair<kTerms>(x2.x, x2.y, t2);
    SplitPair<kTerms>(x3.x, x3.y, t3);
#pragma unroll
    for (int term = 0; term < kTerms; ++term) {
      queries[(i * kTerms + term) * 32 + lane] = make_uint4(t0[term], t1[term], t2[term], t3[term]);
    }
  }
}

// ---- tiles of K and V in shared memory: for each term K [dims][positions], V [positions][dims] of bf16

// The first element of a KV head's part of the block that has `position`.
__device__ inline int64_t KvBase(const AttentionParams& p, const SequenceSpan& span, int kv_head, int position) {
  const int64_t block = span.blocks[position / p.block_size];
  return (block * p.kv_heads + kv_head) * 2 * p.block_size * p.head_dim;
}
__device__ inline int64_t KeyIndex(const AttentionParams& p, const SequenceSpan& span, int kv_head, int position, int d) {
  return KvBase(p, span, kv_head, position) + static_cast<int64_t>(d) * p.block_size + position % p.block_size;
}
__device__ inline int64_t ValueIndex(const AttentionParams& p, const SequenceSpan& span, int kv_head, int position,
                                     int d) {
  return KvBase(p, span, kv_head, position) +
         static_cast<int64_t>(p.block_size + position % p.block_size) * p.head_dim + d;
}

__device__ inline float ReadCache(const AttentionParams& p, int64_t index) {
  if (p.dtype == DType::kBF16) return Widen(reinterpret_cast<const Bf16*>(p.cache)[index]);
  if (p.dtype == DType::kF16) return Widen(reinterpret_cast<const F16*>(p.cache)[index]);
  return reinterpret_cast<const float*>(p.cache)[index];
}

// Begins the copy of positions [first, first + kPositions), those before `end`; first is a multiple of 16.
template <class S>
__device__ void CopyTile(const AttentionParams& p, const SequenceSpan& span, int kv_head, int first, int end,
                         SharedPtr<uint16_t> tile) {
  const Bf16* const cache = reinterpret_cast<const Bf16*>(p.cache);
  constexpr int kRowVectors = S::kPositions / 8;
  for (int i = threadIdx.x; i < p.head_dim * kRowVectors; i += S::kThreads) {
    const int d = i / kRowVectors, at = i % kRowVectors * 8, position = first + at;
    const bool there = position < end;
    const int64_t from = there ? KeyIndex(p, span, kv_head, position, d) : 0;
    CpAsync16(tile + d * S::kKStride + at, cache + from, there ? 16 : 0);
  }
  const int vectors = p.head_dim / 8;
  for (int i = threadIdx.x; i < S::kPositions * vectors; i += S::kThreads) {
    const int at = i / vectors, d = i % vectors * 8, position = first + at;
    const bool there = position < end;
    const int64_t from = there ? ValueIndex(p, span, kv_head, position, d) : 0;
    CpAsync16(tile + S::kKWords + at * S::kVStride + d, cache + from, there ? 16 : 0);
  }
}

// Puts two neighbours, as sums of p.kv_terms bf16 numbers, at `to` of every term.
template <class S>
__device__ inline void PutTerms(const AttentionParams& p, float low, float high, SharedPtr<uint16_t> to) {
  for (int term = 0; term < p.kv_terms; ++term) {
    const bool last = term == p.kv_terms - 1;
    const uint32_t pair = last ? PackBf16(low, high)
                               : __float_as_uint(low) >> 16 | (__float_as_uint(high) & 0xffff0000u);
    SharedCast<uint32_t>(to + term * S::kTermWords)[0] = pair;
    low -= LowBf16(pair);
    high -= HighBf16(pair);
  }
}

template <class S>
__device__ void ConvertTile(const AttentionParams& p, const SequenceSpan& span, int kv_head, int first, int end,
                            SharedPtr<uint16_t> tile) {
  constexpr int kPairs = S::kPositions / 2;
  for (int i = threadIdx.x; i < p.head_dim * kPairs; i += S::kThreads) {
    const int d = i / kPairs, at = i % kPairs * 2, position = first + at;
    const auto key = [&](int s) { return s < end ? ReadCache(p, KeyIndex(p, span, kv_head, s, d)) : 0.0f; };
    PutTerms<S>(p, key(position), key(position + 1), tile + d * S::kKStride + at);
  }
  const int pairs = (p.head_dim + 1) / 2;
  for (int i = threadIdx.x; i < S::kPositions * pairs; i += S::kThreads) {
    const int at = i / pairs, d = i % pairs * 2, position = first + at;
    const auto value = [&](int e) {
      return position < end && e < p.head_dim ? ReadCache(p, ValueIndex(p, span, kv_head, position, e)) : 0.0f;
    };
    PutTerms<S>(p, value(d), value(d + 1), tile + S::kKWords + at * S::kVStride + d);
  }
}

template <class S>
__device__ inline void TakeTile(const AttentionParams& p, const SequenceSpan& span, int kv_head, int first, int end,
                                SharedPtr<uint16_t> tile) {
  if (p.async) {
    CopyTile<S>(p, span, kv_head, first, end, tile);
  } else {
    ConvertTile<S>(p, span, kv_head, first, end, tile);
  }
  CpAsyncCommit();
}

// Zeroes what products read past the head's dimensions, in all buffers.
template <class S>
__device__ void ZeroPadding(const AttentionParams& p, int buffers, SharedPtr<uint16_t> tiles) {
  const int padded = (p.head_dim + 15) / 16 * 16, extra = padded - p.head_dim;
  for (int i = threadIdx.x; i < buffers * extra * S::kPositions; i += S::kThreads) {
    const int buffer = i / (extra * S::kPositions), d = p.head_dim + i / S::kPositions % extra, at = i % S::kPositions;
    tiles[buffer * S::kTermWords + d * S::kKStride + at] = 0;
    tiles[buffer * S::kTermWords + S::kKWords + at * S::kVStride + d] = 0;
  }
}

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
    uint32_t a[kTerms][4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float(&pair)[4] = scores[2 * k + i / 2];
      uint32_t terms[kTerms];
      SplitPair<kTerms>(pair[i % 2 * 2], pair[i % 2 * 2 + 1], terms);
#pragma unroll
      for (int term = 0; term < kTerms; ++term) a[term][i] = terms[term];
    }
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

// Grid: (row tiles x splits, KV heads, sequences).
template <int kDim, int kTerms, Divide kDivide>
__global__ void __launch_bounds__(AttentionShape<kDim, kTerms, kDivide>::kThreads) Attend(const AttentionParams p) {
  using S = AttentionShape<kDim, kTerms, kDivide>;
  const SequenceSpan span = p.sequences[blockIdx.z];
  const int kv_head = blockIdx.y, split = blockIdx.x % p.splits, first_row = blockIdx.x / p.splits * S::kBlockRows;
  const int rows_in_all = span.num_tokens * p.group;
  if (span.padding || (span.num_tokens <= kFewQueryTokens) != S::kSplit || first_row >= rows_in_all) return;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, row_tile = S::kSplit ? 0 : warp;
  const SharedPtr<uint4> queries = DynamicShared<uint4>();
  const SharedPtr<uint16_t> tiles = SharedCast<uint16_t>(queries + S::kQueryVectors);

  // The positions that any row of the block sees, and this split's part of their tiles.
  const int last_row = min(first_row + S::kBlockRows, rows_in_all) - 1;
  const int end = span.start + last_row / p.group + 1, earliest = span.start + first_row / p.group + 1 - p.window;
  const int begin = p.window > 0 ? max(0, earliest) / 16 * 16 : 0;
  const int in_all = (end - begin + S::kPositions - 1) / S::kPositions, per_split = (in_all + p.splits - 1) / p.splits;
  const int first_tile = split * per_split, last_tile = min(first_tile + per_split, in_all);

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
  const int buffer_words = p.kv_terms * S::kTermWords;
  const auto take = [&](int tile) {
    if (tile < last_tile) {
      TakeTile<S>(p, span, kv_head, begin + tile * S::kPositions, end, tiles + tile % S::kBuffers * buffer_words);
    }
  };
  if (S::kBuffers == 2) take(first_tile);
  for (int tile = first_tile; tile < last_tile; ++tile) {
    take(tile + S::kBuffers - 1);
    if (S::kBuffers == 2 && tile + 1 < last_tile) {
      CpAsyncWait<1>();
    } else {
      CpAsyncWait<0>();
    }
    __syncthreads();
    MultiplyTile<kDim, kTerms, kDivide>(p, rows, queries + row_tile * (kDim / 16) * kTerms * 32,
                                        tiles + tile % S::kBuffers * buffer_words, begin + tile * S::kPositions,
                                        S::kSplit ? warp * 16 : 0, state);
    __syncthreads();
  }
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
  int sequences;
  cudaStream_t stream;
};

template <int kDim, int kTerms, Divide kDivide>
void LaunchShape(const AttentionLaunch& launch) {
  using S = AttentionShape<kDim, kTerms, kDivide>;
  const AttentionParams& p = launch.params;
  Launch(Attend<kDim, kTerms, kDivide>,
         {.grid = {static_cast<unsigned>(p.row_tiles * p.splits), static_cast<unsigned>(p.kv_heads),
                   static_cast<unsigned>(launch.sequences)},
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
