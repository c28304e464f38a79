// Experts of a Nemotron-H-like layer, Q4_0: GB/s of touched experts' weights and GFLOP/s.
#include <benchmark/benchmark.h>

#include <random>

#include "kernels/cpu_backend.h"

namespace braid {
namespace {

constexpr int kExperts = 64, kTopK = 6;
constexpr int64_t kWidth = 1536, kInter = 1024;

void BM_Experts(benchmark::State& state) {
  const int64_t tokens = state.range(0);
  const auto backend = *MakeCpuBackend("auto", static_cast<int>(state.range(1)), true);
  std::vector<std::byte> bytes(DTypeBytes(DType::kQ4_0, kWidth * kInter), std::byte{0x21});
  std::vector<std::unique_ptr<PackedWeight>> packed;
  std::vector<const PackedWeight*> up, down;
  for (int e = 0; e < kExperts; ++e) {
    packed.push_back(*backend->Pack({.parts = {{DType::kQ4_0, kInter, kWidth, bytes}}}));
    up.push_back(packed.back().get());
    packed.push_back(*backend->Pack({.parts = {{DType::kQ4_0, kWidth, kInter, bytes}}}));
    down.push_back(packed.back().get());
  }
  std::vector<float> x(tokens * kWidth, 0.5f), y(tokens * kWidth), weights(tokens * kTopK, 0.2f);
  std::vector<int32_t> ids;
  std::mt19937 random(1);
  for (int64_t t = 0; t < tokens; ++t) {
    const int first = static_cast<int>(random() % 10);
    for (int k = 0; k < kTopK; ++k) ids.push_back(first + k * 10 + static_cast<int>(random() % 4));
  }
  for (int32_t& id : ids) id = std::min(id, kExperts - 1);
  std::vector<bool> touched(kExperts);
  for (int32_t id : ids) touched[id] = true;
  const auto count = std::count(touched.begin(), touched.end(), true);
  const auto walk = [&](Ops& ops) {
    ops.Experts({TensorView::Of(x.data(), tokens, kWidth), up, down, kTopK, ids.data(), weights.data(), false,
                 TensorView::Of(y.data(), tokens, kWidth)});
  };
  CHECK(backend->ReserveScratch(backend->MeasureScratch(walk)).ok());
  for (auto _ : state) backend->Run(walk);
  const double steps = static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(
      steps * 2e-9 * static_cast<double>(count * up[0]->bytes()), benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(
      steps * 4e-9 * static_cast<double>(tokens * kTopK * kWidth * kInter), benchmark::Counter::kIsRate);
}
BENCHMARK(BM_Experts)->ArgNames({"tokens", "threads"})->ArgsProduct({{1, 8, 64, 512}, {1, 2}})->UseRealTime();

}  // namespace
}  // namespace braid

BENCHMARK_MAIN();
