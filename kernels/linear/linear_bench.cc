// Linear by format, instruction set, threads and shape. Reports GB/s of weights read (one row is bound by it) and
// GFLOP/s of 2 * tokens * in * out. Weights rotate over copies that together exceed the last-level cache, as the
// layers of a model do.
#include <benchmark/benchmark.h>

#include <random>

#include "kernels/cpu_backend.h"

namespace braid {
namespace {

constexpr int64_t kColdBytes = int64_t{160} << 20;

struct Shape {
  int64_t in, out;
};

// Random bytes below 0x40: every float they may be (part of) is finite and small.
std::vector<std::byte> RandomBytes(int64_t count) {
  std::vector<std::byte> bytes(count);
  std::mt19937 random(1);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0x3f);
  return bytes;
}

// Scales as published checkpoints have them: of F8_E4M3 one a row.
WeightScales ScalesOf(DType dtype, const Shape& shape, std::span<const std::byte> bytes) {
  switch (dtype) {
    case DType::kF8E4M3: return {DType::kF32, 1, shape.in, bytes.first(4 * shape.out)};
    case DType::kNVFP4: return {DType::kF8E4M3, 1, 16, bytes.first(shape.out * shape.in / 16)};
    case DType::kMXFP4: return {DType::kF8E8M0, 1, 32, bytes.first(shape.out * shape.in / 32)};
    default: return {};
  }
}

void BM_Linear(benchmark::State& state, DType dtype, std::string isa, int threads, Shape shape, int64_t tokens) {
  auto made = MakeCpuBackend(isa, threads, true);
  if (!made.ok()) return state.SkipWithError(std::string(made.status().message()).c_str());
  Backend& backend = **made;
  const std::vector<std::byte> bytes = RandomBytes(DTypeBytes(dtype, shape.in * shape.out));
  const std::vector<std::byte> scales(shape.in * shape.out, std::byte{0x38});  // as f32, E4M3 and E8M0 a normal number
  const WeightSource source{.parts = {{dtype, shape.out, shape.in, bytes, ScalesOf(dtype, shape, scales)}}};
  std::vector<std::unique_ptr<PackedWeight>> weights;
  for (int64_t size = 0; size < kColdBytes; size += weights.back()->bytes()) weights.push_back(*backend.Pack(source));
  std::vector<float> x(tokens * shape.in, 0.5f), y(tokens * shape.out);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) - 6.0f;
  // All copies in one walk, as a step does it.
  const auto walk = [&](Ops& ops) {
    for (const auto& weight : weights) {
      ops.Linear({TensorView::Of(x.data(), tokens, shape.in), weight.get(), nullptr, Epilogue::kStore,
                  TensorView::Of(y.data(), tokens, shape.out)});
    }
  };
  if (tokens > 1) weights.resize(1);
  CHECK(backend.ReserveScratch(backend.MeasureScratch(walk)).ok());
  for (auto _ : state) backend.Run(walk);
  const double products = static_cast<double>(state.iterations()) * static_cast<double>(weights.size());
  state.counters["GB/s"] = benchmark::Counter(products * static_cast<double>(weights[0]->bytes()) * 1e-9,
                                              benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(
      products * 2e-9 * static_cast<double>(tokens * shape.in * shape.out), benchmark::Counter::kIsRate);
}

constexpr DType kFormats[] = {DType::kBF16, DType::kF16,  DType::kF32,  DType::kF8E4M3, DType::kNVFP4, DType::kMXFP4,
                              DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0,   DType::kQ5_1,  DType::kIQ4_NL,
                              DType::kQ2_K, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K,   DType::kQ6_K,
                              DType::kInt4, DType::kInt8};

void RegisterAll() {
  for (const std::string& isa : CpuIsas()) {
    for (DType dtype : kFormats) {
      for (const Shape shape : {Shape{576, 1536}, Shape{576, 49152}, Shape{2048, 8192}}) {
        if (shape.in % BlockOf(dtype).elements != 0) continue;
        for (const int64_t tokens : {1, 4, 32, 64, 512}) {
          for (int threads : {1, 2}) {
            const std::string name = absl::StrCat("BM_Linear/", DTypeName(dtype), "/", isa, "/threads:", threads, "/",
                                                  shape.in, "x", shape.out, "/tokens:", tokens);
            benchmark::RegisterBenchmark(name.c_str(), BM_Linear, dtype, isa, threads, shape, tokens)->UseRealTime();
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace braid

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  braid::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
}
