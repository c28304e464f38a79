// Single elements of a KvLayer on the host, for the reference operations and tests.
#pragma once

#include "kernels/attention/kv_layer.h"
#include "kernels/float_types.h"

namespace braid {

enum class KvPart { kKey, kValue };

// The index, in elements from `data`, of dimension `d` of one KV head at row `row` of `block`.
inline int64_t KvIndex(const KvLayer& cache, KvPart part, int64_t block, int64_t head, int64_t row, int64_t d) {
  const int64_t base = (block * cache.kv_heads + head) * cache.head_elements();
  if (part == KvPart::kKey) return base + d * cache.block_size + row;
  return base + int64_t{cache.block_size} * cache.head_dim + row * cache.head_dim + d;
}

inline float ReadKv(const KvLayer& cache, int64_t index) {
  if (cache.dtype == DType::kBF16) return ToFloat(reinterpret_cast<const Bf16*>(cache.data)[index]);
  if (cache.dtype == DType::kF16) return ToFloat(reinterpret_cast<const F16*>(cache.data)[index]);
  CHECK(cache.dtype == DType::kF32) << DTypeName(cache.dtype);
  return reinterpret_cast<const float*>(cache.data)[index];
}

inline void WriteKv(const KvLayer& cache, int64_t index, float value) {
  if (cache.dtype == DType::kBF16) {
    reinterpret_cast<Bf16*>(cache.data)[index] = ToBf16(value);
  } else if (cache.dtype == DType::kF16) {
    reinterpret_cast<F16*>(cache.data)[index] = ToF16(value);
  } else {
    CHECK(cache.dtype == DType::kF32) << DTypeName(cache.dtype);
    reinterpret_cast<float*>(cache.data)[index] = value;
  }
}

}  // namespace braid
