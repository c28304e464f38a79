// One Mamba-2 layer of a 30B-A3B model: decode of several sequences in mid-grid, and prefill of one. Bytes are those of
// the states read once; FLOPs those of C.S and of the folds.
#include <benchmark/benchmark.h>

#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/team.h"

namespace braid {
namespace {

constexpr MambaStateLayout kLayout = {.heads = 64, .head_dim = 64, .state_size = 128, .groups = 8};

void BM_Ssm(benchmark::State& state) {
  const int seqs = static_cast<int>(state.range(0)), tokens = static_cast<int>(state.range(1));
  const std::unique_ptr<Backend> backend = MakeCpuBackend("auto", UsableCpus(), true).value();
  const Bytes slots(static_cast<size_t>(seqs * kLayout.bytes()));
  std::memset(slots.data(), 0x3c, slots.size());  // 0.0115 in f32 and bf16; every page touched
  std::vector<int32_t> ids(seqs * tokens);
  std::vector<SequenceSpan> spans;
  for (int i = 0; i < seqs; ++i) {
    const int start = tokens == 1 ? 48 : 64;
    spans.push_back({.first_row = i * tokens, .num_tokens = tokens, .start = start, .num_committed = tokens,
                     .state_slot = i, .state_position = start / 32 * 32});
  }
  RaggedBatch batch;
  batch.ids = ids;
  batch.sequences = spans;
  const int64_t rows = static_cast<int64_t>(ids.size());
  std::vector<float> xbc(rows * kLayout.conv_dim(), 0.1f), dt(rows * kLayout.heads, 0.1f), y(rows * kLayout.d_inner());
  const std::vector<float> bias(kLayout.heads, 0.1f), a(kLayout.heads, -0.5f), d(kLayout.heads, 1.0f);
  const auto walk = [&](Ops& op) {
    op.Ssm({.xbc = TensorView::Of(xbc.data(), rows, kLayout.conv_dim()), .dt = TensorView::Of(dt.data(), rows, kLayout.heads),
            .dt_bias = bias.data(), .a = a.data(), .d = d.data(), .dt_min = 0,
            .dt_max = std::numeric_limits<float>::infinity(), .batch = &batch, .layout = kLayout,
            .state = {slots.as<float>(), kLayout.words()}, .y = TensorView::Of(y.data(), rows, kLayout.d_inner())});
  };
  CHECK(backend->ReserveScratch(backend->MeasureScratch(walk)).ok());
  backend->Run(walk);  // warm
  for (auto _ : state) backend->Run(walk);
  const double words = static_cast<double>(kLayout.state_words());
  state.counters["GB/s"] = benchmark::Counter(4e-9 * words * seqs, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["GFLOPS"] = benchmark::Counter((tokens == 1 ? 2e-9 : 4e-9) * words * static_cast<double>(rows), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK(BM_Ssm)->ArgNames({"seqs", "tokens"})->UseRealTime()->Args({1, 1})->Args({16, 1})->Args({64, 1})->Args({1, 32})->Args({1, 512});

}  // namespace
}  // namespace braid
