// Runs one piece of work on ref, on every instruction set with one and with three threads, and on CUDA.
#pragma once

#include <functional>

#include "kernels/testing/op_test.h"

namespace braid::testing {

// A number in [-1, 1) that depends on its three coordinates only.
inline float Noise(uint64_t seed, uint64_t row, uint64_t column) {
  uint64_t x = seed * 0x9E3779B97F4A7C15u + row * 0xD1B54A32D192ED03u + column * 0x8CB92BA72F3D8DD7u + 1;
  for (int i = 0; i < 3; ++i) x = (x ^ x >> 31) * 0xBF58476D1CE4E5B9u;
  return static_cast<float>(static_cast<int32_t>(x >> 32)) * 0x1p-31f;
}

inline std::vector<float> NoiseVector(uint64_t seed, size_t n, float scale = 1) {
  std::vector<float> out(n);
  for (size_t i = 0; i < n; ++i) out[i] = scale * Noise(seed, 0, i);
  return out;
}

// What f32 sums of `length` terms may be off by: rounding errors of random sign, 8 sigma.
inline float Tolerance(double length, double magnitude) {
  return static_cast<float>(0x1p-24 * 8 * std::sqrt(length + 16) * magnitude);
}

inline double MaxAbs(const std::vector<float>& x) {
  double max = 0;
  for (float v : x) max = std::max<double>(max, std::abs(v));
  return max;
}

inline const std::vector<std::unique_ptr<Backend>>& AllCpuBackends() {
  static const auto* const backends = [] {
    auto* out = new std::vector<std::unique_ptr<Backend>>;
    for (const std::string& isa : CpuIsas()) {
      for (int threads : {1, 3}) out->push_back(MakeCpu(isa, threads));
    }
    return out;
  }();
  return *backends;
}

// Those of the CPU, and CUDA where there is one.
inline std::vector<Backend*> FastBackends() {
  std::vector<Backend*> backends;
  for (const auto& backend : AllCpuBackends()) backends.push_back(backend.get());
  if (Cuda() != nullptr) backends.push_back(Cuda());
  return backends;
}
inline bool IsCuda(const Backend& backend) { return backend.Name().starts_with("cuda"); }

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && SameBits(a.data(), b.data(), static_cast<int64_t>(a.size()));
}

inline void ExpectNear(const std::vector<float>& got, const std::vector<float>& want, float tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], tolerance) << "element " << i;
}

// `work(backend)` returns what an operation wrote. Every backend must be within `tolerance` of ref, and those of the CPU
// must agree to the bit.
inline void ExpectBackendsAgree(const std::function<std::vector<float>(Backend&)>& work,
                                const std::function<float(const std::vector<float>&)>& tolerance) {
  const std::vector<float> want = work(*MakeRefBackend());
  std::vector<float> first;
  for (const auto& backend : AllCpuBackends()) {
    SCOPED_TRACE(backend->Name());
    const std::vector<float> got = work(*backend);
    ExpectNear(got, want, tolerance(want));
    if (first.empty()) first = got;
    EXPECT_TRUE(SameBits(got, first)) << "bits differ from " << AllCpuBackends()[0]->Name();
  }
  if (Cuda() == nullptr) return;
  SCOPED_TRACE(Cuda()->Name());
  ExpectNear(work(*Cuda()), want, tolerance(want));
}

}  // namespace braid::testing
