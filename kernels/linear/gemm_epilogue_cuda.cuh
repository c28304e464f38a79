// From sums of products to y: the row's scale, bias, activation, and the sum over warps that divide the inputs.
#pragma once

#include "kernels/cuda_device.cuh"
#include "kernels/linear/gemm_cuda.h"

namespace braid::cuda {

__device__ inline float Activate(Epilogue epilogue, float v, float up) {
  switch (epilogue) {
    case Epilogue::kStore:
    case Epilogue::kAdd: return v;
    case Epilogue::kRelu2: return v > 0.0f ? v * v : (v == v ? 0.0f : v);
    case Epilogue::kGelu: return 0.5f * v * (1.0f + tanhf(0.79788456f * (v + 0.044715f * v * v * v)));
    case Epilogue::kSiluGate: return Silu(v) * up;
    case Epilogue::kClampedGate: {
      const float gate = fminf(v, 7.0f), u = fminf(fmaxf(up, -7.0f), 7.0f);
      return gate * Sigmoid(1.702f * gate) * (u + 1.0f);
    }
  }
  return v;
}

// What turns sums of one weight's set into values.
struct Finish {
  const float* row_scales;  // [panels * 32] or null
  const float* bias;        // [rows of the set] or null
};
__device__ inline Finish FinishOf(const GemmArgs& g, const std::byte* base, int expert) {
  const std::byte* const scales = g.set.row_scales_offset >= 0 ? base + g.set.row_scales_offset : nullptr;
  return {reinterpret_cast<const float*>(scales),
          g.bias != nullptr ? g.bias + expert * g.bias_stride + g.set.first_row : nullptr};
}

// The value of row `row` of the set, which is place `at` of its panels.
__device__ inline float Finished(const Finish& finish, int row, int at, float sum) {
  const float v = finish.row_scales != nullptr ? sum * finish.row_scales[at] : sum;
  return finish.bias != nullptr ? v + finish.bias[row] : v;
}

__device__ inline void Write(const GemmArgs& g, int row, int column, float v) {
  float* const y = g.y + row * g.y_stride + column;
  *y = g.epilogue == Epilogue::kAdd ? *y + v : v;
}

// Column `column` of a panel's 32.
__device__ inline void Emit(const GemmArgs& g, const Finish& finish, int row, int panel, int column, float sum) {
  const int at = panel * kCudaPanelRows + column;
  if (at >= g.set.rows) return;
  Write(g, row, g.set.first_row + at, Activate(g.epilogue, Finished(finish, at, at, sum), 0.0f));
}

// Column `column` of a pair's panel of 16.
__device__ inline void EmitPair(const GemmArgs& g, const Finish& finish, int row, int panel, int column, float gate,
                                float up) {
  const int half = g.set.rows / 2, at = panel * 16 + column, place = panel * kCudaPanelRows + column;
  if (at >= half) return;
  const float v = Finished(finish, at, place, gate), u = Finished(finish, half + at, place + 16, up);
  Write(g, row, at, Activate(g.epilogue, v, u));
}

__device__ inline float* PartialOf(const GemmArgs& g, int split, int row) {
  return g.partial + (static_cast<int64_t>(split) * g.rows + row) * g.set.panels * kCudaPanelRows;
}

// Emits a warp's sums from its registers.
template <int kMTiles>
__device__ inline void EmitSums(const GemmArgs& g, const GemmTile& tile, const std::byte* base, int panel, int lane,
                                const float (&sums)[kMTiles][4][4]) {
  const Finish finish = FinishOf(g, base, tile.expert);
#pragma unroll
  for (int m = 0; m < kMTiles; ++m) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int in_tile = m * 16 + lane / 4 + i / 2 * 8, row = tile.first + in_tile, column = lane % 4 * 2 + i % 2;
      if (in_tile >= tile.rows) continue;
      if (g.splits > 1) {
        float* const partial = PartialOf(g, blockIdx.z, row) + panel * kCudaPanelRows;
#pragma unroll
        for (int j = 0; j < 4; ++j) partial[8 * j + column] = sums[m][j][i];
      } else if (g.set.pair) {
#pragma unroll
        for (int j = 0; j < 2; ++j) EmitPair(g, finish, row, panel, 8 * j + column, sums[m][j][i], sums[m][j + 2][i]);
      } else {
#pragma unroll
        for (int j = 0; j < 4; ++j) Emit(g, finish, row, panel, 8 * j + column, sums[m][j][i]);
      }
    }
  }
}

// Adds the sums of the warps that divide the inputs, in their order, through shared memory
// [kWarpsK][kMTiles * 16][kWarpsN * 32], and emits them.
template <int kMTiles, int kWarpsN, int kWarpsK>
__device__ inline void EmitReduced(const GemmArgs& g, const GemmTile& tile, const std::byte* base,
                                   SharedPtr<float> shared, int warp_n, int warp_k, int lane,
                                   const float (&sums)[kMTiles][4][4]) {
  constexpr int kColumns = kWarpsN * 32, kSize = kMTiles * 16 * kColumns;
#pragma unroll
  for (int m = 0; m < kMTiles; ++m) {
#pragma unroll
    for (int j = 0; j < 4; ++j) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = m * 16 + lane / 4 + i / 2 * 8, column = warp_n * 32 + 8 * j + lane % 4 * 2 + i % 2;
        shared[warp_k * kSize + row * kColumns + column] = sums[m][j][i];
      }
    }
  }
  __syncthreads();
  const auto total = [&](int at) {
    float sum = shared[at];
#pragma unroll
    for (int k = 1; k < kWarpsK; ++k) sum += shared[k * kSize + at];
    return sum;
  };
  const Finish finish = FinishOf(g, base, tile.expert);
  for (int i = threadIdx.x; i < kSize; i += blockDim.x) {
    const int in_tile = i / kColumns, column = i % kColumns, panel = blockIdx.x * kWarpsN + column / 32;
    if (in_tile >= tile.rows || panel >= g.set.panels) continue;
    const int row = tile.first + in_tile;
    if (g.splits > 1) {
      PartialOf(g, blockIdx.z, row)[panel * kCudaPanelRows + column % 32] = total(i);
    } else if (!g.set.pair) {
      Emit(g, finish, row, panel, column % 32, total(i));
    } else if (column % 32 < 16) {
      EmitPair(g, finish, row, panel, column % 32, total(i), total(i + 16));
    }
  }
}

}  // namespace braid::cuda
