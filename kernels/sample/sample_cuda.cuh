// One row of logits, one block: maxima, masses, limits and draws. A row is never sorted: the limit of top-k or top-p is
// found by bisection over the keys of its elements, seven at a time, each pass one reading of the row.
#pragma once

#include "kernels/cuda_device.cuh"

namespace braid::cuda {

// Orders elements: by falling logit, then by rising id. 32 bits of the logit's order, kIdBits of the id.
using Key = uint64_t;
inline constexpr int kIdBits = 21;
inline constexpr int kPivots = 7;
inline constexpr int kMaxVocab = 1 << kIdBits;
inline constexpr int kSampleThreads = 512;

struct RowMemory {
  SharedPtr<double> sums;  // [kPivots * warps]
  SharedPtr<Key> keys;     // [warps]
};

__device__ inline Key KeyOf(float logit, int id) {
  const uint32_t bits = __float_as_uint(logit + 0.0f);  // -0 counts as 0
  const uint32_t order = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return Key{order} << kIdBits | static_cast<Key>(kMaxVocab - 1 - id);
}
__device__ inline int IdOf(Key key) { return kMaxVocab - 1 - static_cast<int>(key & (kMaxVocab - 1)); }

// Sums of each of N values over the block, in one order.
template <int N>
__device__ void BlockSums(double (&values)[N], SharedPtr<double> slots) {
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  for (int i = 0; i < N; ++i) values[i] = WarpSum(values[i]);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) {
    for (int i = 0; i < N; ++i) slots[warp * N + i] = values[i];
  }
  __syncthreads();
  for (int i = 0; i < N; ++i) {
    values[i] = 0;
    for (int w = 0; w < warps; ++w) values[i] += slots[w * N + i];
  }
}

__device__ inline Key BlockMaxKey(Key key, SharedPtr<Key> slots) {
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp;
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    const Key other = __shfl_xor_sync(kFullMask, key, lanes);
    key = other > key ? other : key;
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) slots[warp] = key;
  __syncthreads();
  for (int w = 0; w < warps; ++w) {
    const Key other = slots[w];
    key = other > key ? other : key;
  }
  return key;
}

// The best element whose key is below `below`; 0 when there is none.
__device__ inline Key BestBelow(const float* x, int n, Key below, SharedPtr<Key> slots) {
  Key best = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    const Key key = KeyOf(x[i], i);
    if (key < below && key > best) best = key;
  }
  return BlockMaxKey(best, slots);
}

// Whether no element is NaN or +inf and one is more than -inf.
__device__ inline bool IsFinite(const float* x, int n) {
  bool bad = false, any = false;
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    bad |= !(x[i] <= 3.402823466e38f);
    any |= x[i] >= -3.402823466e38f;
  }
  const bool is_bad = __syncthreads_or(bad) != 0;
  return __syncthreads_or(any) != 0 && !is_bad;
}

// An element's part of the distribution: what top-k and top-p leave, its weight relative to the best.
struct Distribution {
  const float* x;
  int n;
  float max, inverse_temperature;
  Key limit = 0;   // elements below it have no weight
  float min_weight = 0;
  __device__ float Weight(int i) const {
    const float weight = expf((x[i] - max) * inverse_temperature);
    return weight >= min_weight && KeyOf(x[i], i) >= limit ? weight : 0.0f;
  }
};

// The largest key such that the elements at or above it have a mass of `need`, and some mass at all. `counted`: each
// element's mass is 1, else its weight.
__device__ inline Key LimitOf(const Distribution& d, bool counted, double need, RowMemory memory) {
  Key low = 0, high = Key{1} << (32 + kIdBits);  // low satisfies, high does not
  while (high - low > 1) {
    const Key step = (high - low + kPivots) / (kPivots + 1);
    double masses[kPivots] = {};
    for (int i = threadIdx.x; i < d.n; i += blockDim.x) {
      const Key key = KeyOf(d.x[i], i);
      if (key < low + step) continue;
      const double mass = counted ? 1.0 : d.Weight(i);
      for (int p = 0; p < kPivots; ++p) masses[p] += key >= low + (p + 1) * step ? mass : 0.0;
    }
    BlockSums(masses, memory.sums);
    const Key base = low;
    for (int p = 0; p < kPivots; ++p) {
      const Key pivot = base + (p + 1) * step;
      if (pivot >= high) break;
      const bool satisfies = masses[p] >= need && masses[p] > 0;
      if (!satisfies) {
        high = pivot;
        break;
      }
      low = pivot;
    }
  }
  return low;
}

__device__ inline double TotalOf(const Distribution& d, RowMemory memory) {
  double total[1] = {};
  for (int i = threadIdx.x; i < d.n; i += blockDim.x) total[0] += d.Weight(i);
  BlockSums(total, memory.sums);
  return total[0];
}

// The lane's sum of `value` and those of all lanes before it.
__device__ inline double WarpPrefix(double value) {
  const int lane = threadIdx.x % kWarp;
  for (int delta = 1; delta < kWarp; delta *= 2) {
    const double before = __shfl_up_sync(kFullMask, value, delta);
    if (lane >= delta) value += before;
  }
  return value;
}

// One warp: the first id from `first` on at which `mass` plus the weights passes `target`; the last one of any weight
// when rounding leaves the target past the end.
__device__ inline int FindCrossing(const Distribution& d, int first, double mass, double target) {
  const int lane = threadIdx.x % kWarp;
  int last = -1;
  for (int base = first; base < d.n; base += kWarp) {
    const int i = base + lane;
    const double weight = i < d.n ? d.Weight(i) : 0.0;
    const double reached = mass + WarpPrefix(weight);
    const unsigned heavy = __ballot_sync(kFullMask, weight > 0);
    const unsigned passed = __ballot_sync(kFullMask, weight > 0 && reached > target);
    if (passed != 0) return base + __ffs(static_cast<int>(passed)) - 1;
    if (heavy != 0) last = base + 31 - __clz(static_cast<int>(heavy));
    mass = __shfl_sync(kFullMask, reached, kWarp - 1);
  }
  return last;
}

// The id at which the running sum of weights passes u times their total. Each warp sums its own stretch of the row; the
// stretch of the target is then walked by the first warp, whose lanes all return the answer.
__device__ inline int DrawId(const Distribution& d, double u, RowMemory memory) {
  const int warp = threadIdx.x / kWarp, warps = blockDim.x / kWarp, lane = threadIdx.x % kWarp;
  const int stretch = static_cast<int>(CeilDiv(CeilDiv(d.n, warps), kWarp)) * kWarp;
  double mine = 0;
  for (int i = warp * stretch + lane; i < min(d.n, (warp + 1) * stretch); i += kWarp) mine += d.Weight(i);
  mine = WarpSum(mine);
  __syncthreads();
  if (lane == 0) memory.sums[warp] = mine;
  __syncthreads();
  double total = 0, mass = 0;
  for (int w = 0; w < warps; ++w) total += memory.sums[w];
  const double target = u * total;
  int w = 0;
  while (w + 1 < warps && mass + memory.sums[w] <= target) mass += memory.sums[w++];
  if (warp != 0) return -1;
  int id = FindCrossing(d, w * stretch, mass, target);
  if (id < 0) id = FindCrossing(d, 0, 0.0, total + 1);  // rounding left nothing behind the target
  return id;
}

}  // namespace braid::cuda
