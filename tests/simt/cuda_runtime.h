// What a kernel finds in CUDA's headers, for the host's compiler: its words, its vector types, its warp and block
// functions. Kernels reach it by <cuda_runtime.h>, as they reach CUDA's own under nvcc.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tests/simt/block.h"
#include "tests/simt/cuda_runtime_api.h"
#include "tests/simt/stream.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (::braid::simt::Here().thread_index)
#define blockIdx (::braid::simt::HereBlock().block_index)
#define blockDim (::braid::simt::HereBlock().shape.block)
#define gridDim (::braid::simt::HereBlock().shape.grid)

inline void __syncthreads() { braid::simt::SyncThreads(false); }
inline int __syncthreads_count(int vote) { return braid::simt::SyncThreads(vote != 0); }
inline int __syncthreads_or(int vote) { return braid::simt::SyncThreads(vote != 0) > 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { braid::simt::SyncWarp(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace braid::simt {

struct Carried {
  uint64_t value;
  int32_t source;  // the lane whose value is taken
};

inline void TakeFromSources(Exchange& exchange) {
  for (int lane = 0; lane < kWarpSize; ++lane) {
    if ((exchange.mask >> lane & 1) == 0) continue;
    Carried mine, theirs;
    std::memcpy(&mine, exchange.in[lane], sizeof(mine));
    if ((exchange.mask >> mine.source & 1) == 0) {
      Fail("lane %d shuffles from lane %d, which is not in mask %08x", lane, mine.source, exchange.mask);
    }
    std::memcpy(&theirs, exchange.in[mine.source], sizeof(theirs));
    std::memcpy(exchange.out[lane], &theirs.value, sizeof(theirs.value));
  }
}

// Lanes of a segment of `width` take from lane `source` of the segment; a source outside of it means the lane itself.
template <class T>
T Shuffle(const char* name, unsigned mask, T value, int source, int width) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  const int lane = Here().lane(), segment = lane / width * width;
  Carried carried{0, source >= 0 && source < width ? segment + source : lane};
  std::memcpy(&carried.value, &value, sizeof(T));
  std::memcpy(&value, Meet(name, mask, TakeFromSources, &carried, sizeof(carried)), sizeof(T));
  return value;
}

inline void Vote(Exchange& exchange) {
  uint32_t votes = 0;
  for (int lane = 0; lane < kWarpSize; ++lane) {
    if ((exchange.mask >> lane & 1) != 0 && exchange.in[lane][0] != std::byte{0}) votes |= 1u << lane;
  }
  for (auto& out : exchange.out) std::memcpy(out, &votes, sizeof(votes));
}

inline uint32_t Ballot(unsigned mask, bool vote) {
  uint32_t votes;
  std::memcpy(&votes, Meet("vote", mask, Vote, &vote, sizeof(vote)), sizeof(votes));
  return votes;
}

}  // namespace braid::simt

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  return braid::simt::Shuffle("__shfl_sync", mask, value, source & (width - 1), width);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32) {
  const int within = braid::simt::Here().lane() & (width - 1);
  return braid::simt::Shuffle("__shfl_xor_sync", mask, value, within ^ lanes, width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int delta, int width = 32) {
  const int within = braid::simt::Here().lane() & (width - 1);
  return braid::simt::Shuffle("__shfl_down_sync", mask, value, within + delta, width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int delta, int width = 32) {
  const int within = braid::simt::Here().lane() & (width - 1);
  return braid::simt::Shuffle("__shfl_up_sync", mask, value, within - delta, width);
}
inline unsigned __ballot_sync(unsigned mask, int vote) { return braid::simt::Ballot(mask, vote != 0); }
inline int __any_sync(unsigned mask, int vote) { return braid::simt::Ballot(mask, vote != 0) != 0; }
inline int __all_sync(unsigned mask, int vote) { return braid::simt::Ballot(mask, vote != 0) == mask; }

// Global memory; blocks may run on several threads of the process.
inline float atomicAdd(float* at, float value) {
  auto* const word = reinterpret_cast<uint32_t*>(at);
  uint32_t bits = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(word, &bits, std::bit_cast<uint32_t>(std::bit_cast<float>(bits) + value), true,
                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return std::bit_cast<float>(bits);
}
inline int atomicAdd(int* at, int value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicAdd(unsigned* at, unsigned value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicOr(unsigned* at, unsigned value) { return __atomic_fetch_or(at, value, __ATOMIC_RELAXED); }
inline int atomicExch(int* at, int value) { return __atomic_exchange_n(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicExch(unsigned* at, unsigned value) { return __atomic_exchange_n(at, value, __ATOMIC_RELAXED); }
template <class T>
T atomicCAS(T* at, T expected, T wanted) {
  __atomic_compare_exchange_n(at, &expected, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <class T>
T atomicMax(T* at, T value) {
  T old = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (old < value && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T>
T atomicMin(T* at, T value) {
  T old = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (value < old && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
template <class T>
T __ldg(const T* at) {
  return *at;
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
// Kernels call these without a namespace, for CUDA has them there.
using std::max;
using std::min;
