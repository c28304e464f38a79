// The words of cpu_vector.h as functions over arrays, one set per instruction set, for its test.
#pragma once

#include <cstdint>

namespace braid::cpu {

struct VectorProbe {
  // y[i] = f(x[i]) for `count` values, a multiple of 16.
  void (*exp)(const float* x, int64_t count, float* y);
  void (*silu)(const float* x, int64_t count, float* y);
  void (*softplus)(const float* x, int64_t count, float* y);
  // Stored as 2-byte floats and loaded again.
  void (*through_f16)(const float* x, int64_t count, float* y);
  void (*through_bf16)(const float* x, int64_t count, float* y);
  float (*sum)(const float* x);  // of 16
  // Copies the first n <= 16 values and nothing else; y[16 + i] becomes x[i] where i < n, else 7.
  void (*copy_first)(const float* x, int n, float* y);
};

namespace avx2 { extern const VectorProbe kVectorProbe; }
namespace avx512 { extern const VectorProbe kVectorProbe; }
namespace avx512_vnni { extern const VectorProbe kVectorProbe; }

}  // namespace braid::cpu
