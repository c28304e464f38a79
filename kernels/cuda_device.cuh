// The words our kernels are written in. Under nvcc they are the GPU's instructions; under the host's compiler, for
// tests, the same names come from tests/simt, which checks what a GPU does not: races, bounds, masks, alignment.
//
//   BRAID_SHARED(float, tile, 256);            shared array `tile`, a SharedPtr<float>; aligned to 128 bytes
//   SharedPtr<float> all = DynamicShared<float>();   the launch's shared_bytes, the same bytes at each call
//   Launch(Kernel, {.grid = 8, .block = 128, .shared_bytes = 0, .stream = s}, x, n);
//
// A SharedPtr is a plain pointer under nvcc: index it, add to it, SharedCast<T> it; atomics and vectors on it go through
// the functions below. Blocks are whole warps. A pointer into device memory is a plain pointer.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "kernels/base/errors.h"
#include "kernels/float_types.h"

namespace braid::cuda {

inline constexpr unsigned kFullMask = 0xffffffffu;
inline constexpr int kWarp = 32;

// How a kernel is launched.
struct LaunchConfig {
  dim3 grid = 1;
  dim3 block = 1;
  size_t shared_bytes = 0;  // dynamic
  cudaStream_t stream = nullptr;
  const char* file = __builtin_FILE();
  int line = __builtin_LINE();
};

// `T` times `N` in one access, 16 bytes at most.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  T v[N];
  __host__ __device__ T& operator[](int i) { return v[i]; }
  __host__ __device__ const T& operator[](int i) const { return v[i]; }
};

__host__ __device__ constexpr int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace braid::cuda

#ifdef __CUDACC__
#include "kernels/cuda_words.cuh"
#else
#include "tests/simt/cuda_words.h"
#endif

namespace braid::cuda {

// ---- reductions; every lane of the warp, every thread of the block gets the result

template <class T>
__device__ __forceinline__ T WarpSum(T value) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value += __shfl_xor_sync(kFullMask, value, lanes);
  return value;
}
__device__ __forceinline__ float WarpMax(float value) {
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) value = fmaxf(value, __shfl_xor_sync(kFullMask, value, lanes));
  return value;
}

// `slots` holds one T a warp and may be used again by the next reduction: the block waits before and after.
template <class T>
__device__ T BlockSum(T value, SharedPtr<T> slots) {
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = WarpSum(value);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) slots[warp] = value;
  __syncthreads();
  T sum = slots[0];
  for (int w = 1; w < warps; ++w) sum += slots[w];
  return sum;
}
__device__ inline float BlockMax(float value, SharedPtr<float> slots) {
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  value = WarpMax(value);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) slots[warp] = value;
  __syncthreads();
  float max = slots[0];
  for (int w = 1; w < warps; ++w) max = fmaxf(max, slots[w]);
  return max;
}

// ---- functions of one number, as the reference has them

__device__ __forceinline__ float Sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ __forceinline__ float Silu(float x) { return x / (1.0f + expf(-x)); }
__device__ __forceinline__ float Softplus(float x) { return x > 20.0f ? x : log1pf(expf(x)); }

}  // namespace braid::cuda
