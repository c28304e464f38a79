// The kernel of gemm_cuda.h. Included by one gemm_<format>_cuda.cu for each format.
#pragma once

#include "kernels/linear/gemm_cuda.h"
#include "kernels/linear/gemm_epilogue_cuda.cuh"
#include "kernels/linear/weight_fragments_cuda.cuh"

namespace braid::cuda {

inline constexpr int kGemmThreads = 256;
inline constexpr int kGemmStages = 3;

template <int kMTiles>
struct Sums {
  float v[kMTiles][4][4] = {};  // [tile of 16 rows][tile of 8 columns][c fragment]
};

// ---- A fragments

// Two neighbours of a row, zero past its end.
__device__ inline float2 LoadTwo(const float* row, int k, int cols, bool even) {
  if (even && k + 1 < cols) return __ldg(reinterpret_cast<const float2*>(row + k));
  return make_float2(k < cols ? row[k] : 0.0f, k + 1 < cols ? row[k + 1] : 0.0f);
}

// The lane's part of step h of a chunk of rows `low` and `high` (null: zero), as kTerms A fragments.
template <int kTerms>
__device__ inline void FragmentsOfRows(const float* low, const float* high, int k, int cols, bool even,
                                       uint32_t (&a)[kTerms][4]) {
  const float2 none = make_float2(0.0f, 0.0f);
  const float2 x0 = low ? LoadTwo(low, k, cols, even) : none, x1 = high ? LoadTwo(high, k, cols, even) : none;
  const float2 x2 = low ? LoadTwo(low, k + 8, cols, even) : none, x3 = high ? LoadTwo(high, k + 8, cols, even) : none;
  SplitFragment<kTerms>({x0, x1, x2, x3}, a);
}

// Where row `i` of the product begins in x.
__device__ inline const float* RowOf(const GemmArgs& g, int i) {
  const int64_t row = g.row_of != nullptr ? g.row_of[i] / g.row_divisor : i;
  return g.x + row * g.x_stride;
}
__device__ inline bool HasEvenRows(const GemmArgs& g) {
  return g.x_stride % 2 == 0 && reinterpret_cast<uintptr_t>(g.x) % 8 == 0;
}

// The tile of a block; false when there is none.
__device__ inline bool TakeTile(const GemmArgs& g, int index, int tile_rows, GemmTile* tile) {
  if (g.grouped) {
    if (index >= *g.num_tiles) return false;
    *tile = g.tiles[index];
    return true;
  }
  tile->expert = 0;
  tile->first = index * tile_rows;
  tile->rows = min(tile_rows, g.rows - tile->first);
  return tile->rows > 0;
}

// ---- products

// sums += A B of step h, given the fragments of all four column tiles.
template <int kXTerms, int kWTerms>
__device__ inline void MultiplyStep(const uint32_t (&a)[kXTerms][4], const uint32_t (&b)[4][kWTerms][2], float (&sums)[4][4]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) {
#pragma unroll
    for (int x = 0; x < kXTerms; ++x) {
#pragma unroll
      for (int w = 0; w < kWTerms; ++w) {
        if (x + w <= 2) MmaBf16(sums[j], a[x], b[j][w]);
      }
    }
  }
}

template <int kWTerms, class Weights>
__device__ inline void WidenStep(const Weights& weights, const CudaWeightSet& set, int h,
                                 uint32_t (&b)[4][kWTerms][2]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) Widen<kWTerms>(weights, set, j, h, b[j]);
}

// ---- staging: a stage has the A fragments of kWarpsK chunks of kMTiles tiles of 16 rows

template <int kXTerms, int kMTiles, int kWarpsK>
struct Stage {
  static constexpr int kChunkVectors = 2 * kXTerms * 32;  // of one tile of 16 rows
  static constexpr int kVectors = kWarpsK * kMTiles * kChunkVectors;
  static constexpr int kBytes = 16 * kVectors;
};

// Begins the copy of the chunks from `chunk` on, those before `end`, of packed tile `tile16` and those behind it.
template <int kXTerms, int kMTiles, int kWarpsK>
__device__ inline void CopyStage(const GemmArgs& g, int64_t tile16, int chunk, int end, SharedPtr<uint4> stage) {
  using S = Stage<kXTerms, kMTiles, kWarpsK>;
  for (int i = threadIdx.x; i < S::kVectors; i += kGemmThreads) {
    const int part = i / S::kChunkVectors, k = part / kMTiles, m = part % kMTiles;
    if (chunk + k >= end) continue;
    const int64_t from = ((tile16 + m) * g.set.chunks + chunk + k) * S::kChunkVectors + i % S::kChunkVectors;
    CpAsync16(stage + i, g.packed_x + from);
  }
}

// ---- the kernel

// What a warp of a block works on. Step s of a split is chunk begin + s * kWarpsK + warp_k.
template <class Weights, int kWTerms, int kXTerms, int kMTiles, int kWarpsN, int kWarpsK>
struct GemmWarp {
  using S = Stage<kXTerms, kMTiles, kWarpsK>;
  static constexpr bool kStaged = kMTiles > 1;
  // Chunks whose codes are on their way while one is multiplied; many tiles leave no registers for more.
  static constexpr int kAhead = kMTiles == 1 ? Weights::kAhead : 1;

  const GemmArgs& g;
  GemmTile tile;
  int lane, warp_n, warp_k, panel;
  int begin, end, steps;      // chunks of this split
  const std::byte* base;
  const float *low, *high;    // a lane's two rows, when they are not staged
  bool even;
  SharedPtr<uint4> shared;    // stages
  Sums<kMTiles> sums;

  __device__ __forceinline__ GemmWarp(const GemmArgs& args, const GemmTile& block_tile)
      : g(args), tile(block_tile), lane(threadIdx.x % 32), shared(DynamicShared<uint4>()) {
    warp_n = threadIdx.x / 32 % kWarpsN;
    warp_k = threadIdx.x / 32 / kWarpsN;
    panel = blockIdx.x * kWarpsN + warp_n;
    const int per_split = (g.set.chunks + g.splits - 1) / g.splits;
    begin = blockIdx.z * per_split;
    end = min(begin + per_split, g.set.chunks);
    steps = (end - begin + kWarpsK - 1) / kWarpsK;
    base = g.bases != nullptr ? g.bases[tile.expert] : g.base;
    low = !kStaged && lane / 4 < tile.rows ? RowOf(g, tile.first + lane / 4) : nullptr;
    high = !kStaged && lane / 4 + 8 < tile.rows ? RowOf(g, tile.first + lane / 4 + 8) : nullptr;
    even = HasEvenRows(g);
  }

  __device__ __forceinline__ int ChunkOf(int step) const { return begin + step * kWarpsK + warp_k; }
  __device__ __forceinline__ bool Has(int step) const { return panel < g.set.panels && ChunkOf(step) < end; }

  __device__ __forceinline__ void Load(int step, Weights& to) const {
    if (Has(step)) to.Load(g.set, PlaceOfChunk(g.set, base, panel, ChunkOf(step)), lane);
  }

  __device__ __forceinline__ void BeginStage(int step) const {
    const int64_t tile16 = static_cast<int64_t>(blockIdx.y) * kMTiles;
    CopyStage<kXTerms, kMTiles, kWarpsK>(g, tile16, begin + step * kWarpsK, end,
                                         shared + step % kGemmStages * S::kVectors);
    CpAsyncCommit();
  }

  // Waits for the stage of `step`, and begins the one that takes the place of the stage before it.
  __device__ __forceinline__ void TurnStage(int step) const {
    CpAsyncWait<kGemmStages - 2>();
    __syncthreads();
    BeginStage(step + kGemmStages - 1);
  }

  __device__ __forceinline__ void Fragments(int step, int h, int m, uint32_t (&a)[kXTerms][4]) const {
    if constexpr (kStaged) {
      const int at = step % kGemmStages * S::kVectors + (warp_k * kMTiles + m) * S::kChunkVectors + h * kXTerms * 32;
#pragma unroll
      for (int i = 0; i < kXTerms; ++i) {
        const uint4 four = shared[at + i * 32 + lane];
        a[i][0] = four.x;
        a[i][1] = four.y;
        a[i][2] = four.z;
        a[i][3] = four.w;
      }
    } else {
      FragmentsOfRows<kXTerms>(low, high, ChunkOf(step) * 32 + 16 * h + lane % 4 * 2, g.set.cols, even, a);
    }
  }

  // Takes the codes of `step` and loads those of a later one into their place.
  __device__ __forceinline__ void Multiply(int step, Weights& slot) {
    const Weights weights = slot;
    Load(step + kAhead, slot);
    if constexpr (kStaged) TurnStage(step);
    if (!Has(step)) return;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      uint32_t b[4][kWTerms][2];
      WidenStep<kWTerms>(weights, g.set, h, b);
#pragma unroll
      for (int m = 0; m < kMTiles; ++m) {
        uint32_t a[kXTerms][4];
        Fragments(step, h, m, a);
        MultiplyStep<kXTerms, kWTerms>(a, b, sums.v[m]);
      }
    }
  }

  __device__ __forceinline__ void Emit() {
    if constexpr (kWarpsK == 1) {
      if (panel < g.set.panels) EmitSums<kMTiles>(g, tile, base, panel, lane, sums.v);
    } else {
      CpAsyncWait<0>();
      __syncthreads();
      EmitReduced<kMTiles, kWarpsN, kWarpsK>(g, tile, base, DynamicShared<float>(), warp_n, warp_k, lane, sums.v);
    }
  }
};

// Grid: (blocks of columns, tiles, splits). Block: kWarpsN x kWarpsK warps.
template <class Weights, int kWTerms, int kXTerms, int kMTiles, int kWarpsN, int kWarpsK>
__global__ void __launch_bounds__(kGemmThreads, kMTiles == 4 && kXTerms == 1 ? 2 : 1) GemmKernel(const GemmArgs g) {
  static_assert(kWarpsN * kWarpsK * 32 == kGemmThreads);
  using Warp = GemmWarp<Weights, kWTerms, kXTerms, kMTiles, kWarpsN, kWarpsK>;
  GemmTile tile;
  if (!TakeTile(g, blockIdx.y, 16 * kMTiles, &tile)) return;
  Warp warp(g, tile);
  Weights next[Warp::kAhead];
#pragma unroll
  for (int i = 0; i < Warp::kAhead; ++i) warp.Load(i, next[i]);
  if constexpr (Warp::kStaged) {
#pragma unroll
    for (int s = 0; s < kGemmStages - 1; ++s) warp.BeginStage(s);
  }
  for (int s = 0; s < warp.steps; s += Warp::kAhead) {
#pragma unroll
    for (int i = 0; i < Warp::kAhead; ++i) {
      if (s + i < warp.steps) warp.Multiply(s + i, next[i]);
    }
  }
  warp.Emit();
}

// ---- launches

struct GemmLaunch {
  GemmArgs args;
  int tile_rows;
  Precision precision;
  dim3 grid;
  cudaStream_t stream;
};

template <class Weights, int kWTerms, int kXTerms, int kMTiles, int kWarpsN, int kWarpsK>
void LaunchShaped(const GemmLaunch& launch) {
  constexpr int kStaged = kMTiles > 1 ? kGemmStages * Stage<kXTerms, kMTiles, kWarpsK>::kBytes : 0;
  constexpr int kReduced = kWarpsK > 1 ? kGemmThreads * kMTiles * 16 * 4 : 0;
  Launch(GemmKernel<Weights, kWTerms, kXTerms, kMTiles, kWarpsN, kWarpsK>,
         {.grid = launch.grid,
          .block = kGemmThreads,
          .shared_bytes = static_cast<size_t>(kStaged > kReduced ? kStaged : kReduced),
          .stream = launch.stream},
         launch.args);
}

template <class Weights, int kWTerms, int kXTerms>
void LaunchTiled(const GemmLaunch& launch) {
  if (launch.tile_rows == 16) return LaunchShaped<Weights, kWTerms, kXTerms, 1, 1, 8>(launch);
  if (launch.tile_rows == 64) return LaunchShaped<Weights, kWTerms, kXTerms, 4, 4, 2>(launch);
  LaunchShaped<Weights, kWTerms, kXTerms, 8, 8, 1>(launch);
}

template <class Weights>
void LaunchGemm(const GemmLaunch& launch) {
  if (launch.precision == Precision::kBf16) return LaunchTiled<Weights, 1, 1>(launch);
  LaunchTiled<Weights, Weights::kFullTerms, 3>(launch);
}

// One translation unit each.
void GemmF32(const GemmLaunch& launch);
void GemmF16(const GemmLaunch& launch);
void GemmBf16(const GemmLaunch& launch);
void GemmFp8Rows(const GemmLaunch& launch);
void GemmFp8Blocks(const GemmLaunch& launch);
void GemmFp4(const GemmLaunch& launch);
void GemmBlocks(const GemmLaunch& launch);

}  // namespace braid::cuda
