// The heavy operations on a CUDA device, shaped like a layer of a 30B-A3B hybrid. Reports GB/s of what must be read
// (weights, K and V, states), TFLOPS, and their shares of the card's peaks where the card is known. A run launches an
// operation many times, over weights that together exceed the second-level cache.
#include <benchmark/benchmark.h>

#include <cstring>
#include <limits>
#include <random>

#include "kernels/backend.h"
#include "kernels/device.h"

namespace braid {
namespace {

constexpr int kRepeats = 20;
constexpr int64_t kColdBytes = int64_t{256} << 20;

// Datasheet rates: GB/s of memory and dense bf16 TFLOPS.
struct Peak {
  const char* card;
  double gbytes, tflops;
};
constexpr Peak kPeaks[] = {{"H100", 3350, 989}, {"H200", 4800, 989}, {"B200", 8000, 2250}};

void Report(benchmark::State& state, double bytes, double flops) {
  using benchmark::Counter;
  const Counter::Flags rate = static_cast<Counter::Flags>(Counter::kIsIterationInvariantRate);
  state.counters["GB/s"] = Counter(1e-9 * kRepeats * bytes, rate);
  state.counters["TFLOPS"] = Counter(1e-12 * kRepeats * flops, rate);
  const std::string device = device::DeviceName();
  for (const Peak& peak : kPeaks) {
    if (device.find(peak.card) == std::string::npos) continue;
    state.counters["of_memory"] = Counter(1e-9 * kRepeats * bytes / peak.gbytes, rate);
    state.counters["of_bf16"] = Counter(1e-12 * kRepeats * flops / peak.tflops, rate);
  }
}

Backend& Cuda(bool bf16) {
  static Backend* const full = MakeCudaBackend(Precision::kFull).value().release();
  static Backend* const fast = MakeCudaBackend(Precision::kBf16).value().release();
  return bf16 ? *fast : *full;
}

// Memory of the device with `count` equal values, or bytes.
template <class T>
class OnDevice {
 public:
  OnDevice(Backend& backend, int64_t count, T value) : memory_(backend.Allocate(sizeof(T) * count).value()) {
    const std::vector<T> host(count, value);
    backend.Upload(host.data(), memory_.data(), sizeof(T) * count);
  }
  T* get() const { return memory_.as<T>(); }

 private:
  Bytes memory_;
};

void Time(benchmark::State& state, Backend& backend, const std::function<void(Ops&)>& once) {
  const auto walk = [&](Ops& op) {
    for (int i = 0; i < kRepeats; ++i) once(op);
  };
  CHECK(backend.ReserveScratch(backend.MeasureScratch(walk)).ok());
  backend.Run(walk);  // warm
  for (auto _ : state) backend.Run(walk);
}

// ---- weights

// Bytes below 0x40: every number they may be part of is finite and small.
class Weights {
 public:
  Weights(Backend& backend, DType dtype, int64_t out, int64_t in, int64_t copies) {
    std::vector<std::byte> bytes(DTypeBytes(dtype, out * in)), scales(out * in, std::byte{0x38});
    std::mt19937 random(1);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0x3f);
    WeightPart part{dtype, out, in, bytes};
    const std::span<const std::byte> all(scales);
    if (dtype == DType::kF8E4M3) part.scales = {DType::kF32, 1, in, all.first(4 * out)};
    if (dtype == DType::kNVFP4) part.scales = {DType::kF8E4M3, 1, 16, all.first(out * in / 16)};
    for (int64_t i = 0; i < copies; ++i) packed_.push_back(backend.Pack({.parts = {part}}).value());
    for (const auto& one : packed_) views_.push_back(one.get());
  }
  const PackedWeight* operator[](int64_t i) const { return views_[i % views_.size()]; }
  std::span<const PackedWeight* const> views() const { return views_; }
  double bytes() const { return static_cast<double>(views_[0]->bytes()); }

 private:
  std::vector<std::unique_ptr<PackedWeight>> packed_;
  std::vector<const PackedWeight*> views_;
};

void BM_CudaLinear(benchmark::State& state, DType dtype, int64_t in, int64_t out, int64_t tokens, bool bf16) {
  Backend& backend = Cuda(bf16);
  const int64_t bytes = DTypeBytes(dtype, in * out);
  const Weights weights(backend, dtype, out, in, std::clamp<int64_t>(kColdBytes / bytes, 1, kRepeats));
  const OnDevice<float> x(backend, tokens * in, 0.5f), y(backend, tokens * out, 0);
  int64_t turn = 0;
  Time(state, backend, [&](Ops& op) {
    op.Linear({.x = TensorView::Of(x.get(), tokens, in), .weight = weights[turn++],
               .y = TensorView::Of(y.get(), tokens, out)});
  });
  Report(state, weights.bytes(), 2.0 * static_cast<double>(tokens * in * out));
}

void BM_CudaExperts(benchmark::State& state, DType dtype, int64_t tokens, bool bf16) {
  constexpr int kExperts = 128, kTop = 6;
  constexpr int64_t kWidth = 2688, kInter = 1856;
  Backend& backend = Cuda(bf16);
  const Weights up(backend, dtype, kInter, kWidth, kExperts), down(backend, dtype, kWidth, kInter, kExperts);
  const OnDevice<float> x(backend, tokens * kWidth, 0.5f), y(backend, tokens * kWidth, 0),
      weights(backend, tokens * kTop, 0.2f);
  std::mt19937 random(2);
  std::vector<int32_t> ids;
  std::vector<bool> hit(kExperts);
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int32_t> mine;
    while (mine.size() < kTop) {
      const int32_t e = static_cast<int32_t>(random() % kExperts);
      if (std::find(mine.begin(), mine.end(), e) == mine.end()) mine.push_back(e);
    }
    std::sort(mine.begin(), mine.end());
    for (int32_t e : mine) hit[e] = true;
    ids.insert(ids.end(), mine.begin(), mine.end());
  }
  const OnDevice<int32_t> device_ids(backend, tokens * kTop, 0);
  backend.Upload(ids.data(), device_ids.get(), 4 * ids.size());
  Time(state, backend, [&](Ops& op) {
    op.Experts({.x = TensorView::Of(x.get(), tokens, kWidth), .up = up.views(), .down = down.views(), .top_k = kTop,
                .expert_ids = device_ids.get(), .expert_weights = weights.get(), .add = false,
                .y = TensorView::Of(y.get(), tokens, kWidth)});
  });
  const double touched = static_cast<double>(std::count(hit.begin(), hit.end(), true));
  Report(state, touched * (up.bytes() + down.bytes()), 4.0 * static_cast<double>(tokens * kTop * kWidth * kInter));
}

// ---- sequences

struct Sequences {
  std::vector<int32_t> ids, blocks;
  std::vector<SequenceSpan> spans;
  RaggedBatch batch;

  Sequences(int count, int tokens, int context, int block_size) : ids(count * tokens) {
    const int each = (context + block_size - 1) / block_size;
    for (int i = 0; i < count * each; ++i) blocks.push_back(i);
    for (int i = 0; i < count; ++i) {
      const int start = context - tokens;
      spans.push_back({.first_row = i * tokens, .num_tokens = tokens, .start = start, .num_committed = tokens,
                       .blocks = blocks.data() + i * each, .num_blocks = each, .state_slot = i,
                       .state_position = start / 32 * 32});
    }
    batch.ids = ids;
    batch.sequences = spans;
  }
};

void BM_CudaAttention(benchmark::State& state, int count, int tokens, int context, bool bf16) {
  constexpr int kHeads = 32, kKvHeads = 2, kDim = 128, kBlock = 32;
  Backend& backend = Cuda(bf16);
  const Sequences sequences(count, tokens, context, kBlock);
  KvLayer cache{nullptr, DType::kBF16, kBlock, kKvHeads, kDim};
  const OnDevice<uint16_t> kv(backend, static_cast<int64_t>(sequences.blocks.size()) * cache.block_bytes() / 2, 0x3e00);
  cache.data = reinterpret_cast<std::byte*>(kv.get());
  const int64_t rows = int64_t{count} * tokens;
  const OnDevice<float> q(backend, rows * kHeads * kDim, 0.5f), out(backend, rows * kHeads * kDim, 0);
  Time(state, backend, [&](Ops& op) {
    op.Attention({.q = TensorView::Of(q.get(), rows, kHeads * kDim), .heads = kHeads, .scale = 0.088f,
                  .batch = &sequences.batch, .cache = cache, .out = TensorView::Of(out.get(), rows, kHeads * kDim)});
  });
  const double seen = context - 0.5 * (tokens - 1);
  Report(state, 2.0 * 2 * count * 1.0 * context * kKvHeads * kDim,
         4.0 * static_cast<double>(rows) * kHeads * kDim * seen);
}

void BM_CudaSsm(benchmark::State& state, int count, int tokens) {
  constexpr MambaStateLayout kLayout = {.heads = 64, .head_dim = 64, .state_size = 128, .groups = 8};
  Backend& backend = Cuda(true);
  const Sequences sequences(count, tokens, 48 + tokens, 32);
  const OnDevice<float> slots(backend, count * kLayout.words(), 0.01f);
  const int64_t rows = int64_t{count} * tokens;
  const OnDevice<float> xbc(backend, rows * kLayout.conv_dim(), 0.1f), dt(backend, rows * kLayout.heads, 0.1f),
      y(backend, rows * kLayout.d_inner(), 0), bias(backend, kLayout.heads, 0.1f), a(backend, kLayout.heads, -0.5f),
      d(backend, kLayout.heads, 1.0f);
  Time(state, backend, [&](Ops& op) {
    op.Ssm({.xbc = TensorView::Of(xbc.get(), rows, kLayout.conv_dim()),
            .dt = TensorView::Of(dt.get(), rows, kLayout.heads), .dt_bias = bias.get(), .a = a.get(), .d = d.get(),
            .dt_min = 0, .dt_max = std::numeric_limits<float>::infinity(), .batch = &sequences.batch,
            .layout = kLayout, .state = {slots.get(), kLayout.words()},
            .y = TensorView::Of(y.get(), rows, kLayout.d_inner())});
  });
  const double words = static_cast<double>(kLayout.state_words());
  Report(state, 4.0 * words * count, (tokens == 1 ? 2.0 : 4.0) * words * static_cast<double>(rows));
}

template <class F, class... Args>
void Register(const std::string& name, F bench, Args... args) {
  benchmark::RegisterBenchmark(name.c_str(), bench, args...)->UseRealTime();
}

void RegisterAll() {
  for (bool bf16 : {true, false}) {
    const std::string how = bf16 ? "/bf16" : "/full";
    for (DType dtype : {DType::kBF16, DType::kF8E4M3, DType::kNVFP4, DType::kQ4_K}) {
      for (int64_t tokens : {1, 8, 16, 64, 256, 4096}) {
        Register(absl::StrCat("BM_CudaLinear/", DTypeName(dtype), "/4096x8192/tokens:", tokens, how), BM_CudaLinear, dtype,
                 4096, 8192, tokens, bf16);
      }
      if (dtype == DType::kQ4_K) continue;  // 1856 inputs are no whole blocks of it
      for (int64_t tokens : {1, 16, 64, 4096}) {
        Register(absl::StrCat("BM_CudaExperts/", DTypeName(dtype), "/tokens:", tokens, how), BM_CudaExperts, dtype, tokens,
                 bf16);
      }
    }
    for (const auto& [count, tokens, context] : {std::array{1, 1, 65536}, {64, 1, 4096}, {256, 1, 1024}, {1, 4096, 4096}}) {
      Register(absl::StrCat("BM_CudaAttention/seqs:", count, "/tokens:", tokens, "/context:", context, how),
               BM_CudaAttention, count, tokens, context, bf16);
    }
  }
  for (const auto& [count, tokens] : {std::array{1, 1}, {16, 1}, {128, 1}, {256, 1}, {64, 4}, {1, 4096}}) {
    Register(absl::StrCat("BM_CudaSsm/seqs:", count, "/tokens:", tokens), BM_CudaSsm, count, tokens);
  }
}

}  // namespace
}  // namespace braid

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (const absl::Status found = braid::device::FindDevice(); !found.ok()) {
    std::printf("%s\n", std::string(found.message()).c_str());
    return 1;
  }
  braid::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
}
