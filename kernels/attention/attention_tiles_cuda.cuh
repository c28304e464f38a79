// What a block of attention works on: its rows as A fragments, and tiles of K and V in shared memory.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/cuda_device.cuh"
#include "kernels/linear/weight_fragments_cuda.cuh"

namespace braid::cuda {

struct AttentionParams {
  const float* q;
  int64_t q_stride;
  float* out;
  int64_t out_stride;
  int heads, group, head_dim, window, first;  // group: heads of a KV head
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
  query.first = min(p.first, query.position);
  if (p.window > 0) query.first = max(query.first, query.position - p.window + 1);
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
    uint32_t a[kTerms][4];
    SplitFragment<kTerms>({x0, x1, x2, x3}, a);
#pragma unroll
    for (int term = 0; term < kTerms; ++term) {
      queries[(i * kTerms + term) * 32 + lane] = make_uint4(a[term][0], a[term][1], a[term][2], a[term][3]);
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

}  // namespace braid::cuda
