// Decode of several sequences and prefill of one, by shape. Bytes are those of K and V read once; FLOPs count masked
// positions out.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/team.h"

namespace braid {
namespace {

constexpr int kHeads = 32, kKvHeads = 8, kHeadDim = 128, kBlock = 32;

void BM_PagedAttention(benchmark::State& state, DType dtype) {
  const int seqs = static_cast<int>(state.range(0)), context = static_cast<int>(state.range(1));
  const int tokens = static_cast<int>(state.range(2));
  const std::unique_ptr<Backend> backend = MakeCpuBackend("auto", UsableCpus(), true).value();
  const int blocks = (context + kBlock - 1) / kBlock;
  KvLayer cache = {nullptr, dtype, kBlock, kKvHeads, kHeadDim};
  const Bytes bytes(static_cast<size_t>(seqs * blocks * cache.block_bytes()));
  cache.data = bytes.data();
  std::memset(bytes.data(), 0x3c, bytes.size());  // 0.0115 in f32 and bf16; every page touched
  std::vector<int32_t> table(seqs * blocks), ids(seqs * tokens);
  for (size_t i = 0; i < table.size(); ++i) table[i] = static_cast<int32_t>(i);
  std::vector<SequenceSpan> spans;
  for (int i = 0; i < seqs; ++i) {
    spans.push_back({.first_row = i * tokens, .num_tokens = tokens, .start = context - tokens,
                     .num_committed = tokens, .blocks = table.data() + i * blocks});
  }
  RaggedBatch batch;
  batch.ids = ids;
  batch.sequences = spans;
  std::vector<float> q(ids.size() * kHeads * kHeadDim, 0.01f), out(q.size());
  const int64_t rows = static_cast<int64_t>(ids.size()), width = kHeads * kHeadDim;
  const auto walk = [&](Ops& op) {
    op.Attention({.q = TensorView::Of(q.data(), rows, width), .heads = kHeads, .scale = 0.088f, .batch = &batch,
                  .cache = cache, .out = TensorView::Of(out.data(), rows, width)});
  };
  CHECK(backend->ReserveScratch(backend->MeasureScratch(walk)).ok());
  backend->Run(walk);  // warm
  for (auto _ : state) backend->Run(walk);
  const double pairs = static_cast<double>(rows) * (context - 0.5 * (tokens - 1));
  state.counters["GB/s"] = benchmark::Counter(1e-9 * static_cast<double>(bytes.size()), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GFLOPS"] = benchmark::Counter(4e-9 * pairs * width, benchmark::Counter::kIsIterationInvariantRate);
}

void Shapes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"seqs", "context", "tokens"})->UseRealTime();
  bench->Args({1, 4096, 1})->Args({16, 1024, 1})->Args({1, 512, 512})->Args({1, 4096, 512});
}
BENCHMARK_CAPTURE(BM_PagedAttention, f32, DType::kF32)->Apply(Shapes);
BENCHMARK_CAPTURE(BM_PagedAttention, bf16, DType::kBF16)->Apply(Shapes);

}  // namespace
}  // namespace braid
