// How fast an image travels between two processes' gRPC doors (here one process, over the loopback), beside a plain copy
// of the same bytes. BRAID_TEST_MODEL names the model; without it the tiny hybrid is used.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <future>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/handover/image_receiver.h"
#include "kernels/base/errors.h"
#include "models/weights/checkpoint.h"
#include "server/grpc/grpc_server.h"
#include "server/grpc/handover_client.h"

namespace braid {
namespace {

const SteadyClock kClock;
constexpr const char* kSecret = "a secret of some length";

std::unique_ptr<Engine> StartEngine() {
  const char* const named = std::getenv("BRAID_TEST_MODEL");
  const auto checkpoint = Checkpoint::Open(named != nullptr ? named : BRAID_SOURCE_DIR "/tests/data/models/nemotron_h");
  CHECK(checkpoint.ok()) << checkpoint.status();
  auto engine = Engine::Start({.pin_threads = false, .memory_bytes = int64_t{512} << 20, .max_model_len = 2048}, **checkpoint, &kClock);
  CHECK(engine.ok()) << engine.status();
  return *std::move(engine);
}

// An offer of a prompt of so many tokens, and who has it.
struct Offered {
  explicit Offered(int tokens) : engine(StartEngine()), exporter(engine.get(), &kClock, {.lease_ms = 600'000}) {
    auto started = GrpcServer::Start({.port = 0, .peer_key = std::make_shared<PeerKey>(kSecret)}, &serving);
    CHECK(started.ok()) << started.status();
    server = *std::move(started);
    server->SetExporter(&exporter);
    peer = PeerDirectory(std::make_shared<PeerKey>(kSecret)).At(absl::StrCat("127.0.0.1:", server->port()));
    std::promise<absl::StatusOr<PrefillOffer>> answer;
    peer->Prefill({.asker = exporter.identity(), .prompt = std::vector<int32_t>(std::min(tokens, engine->info().max_model_len - 2), 7), .ignore_eos = true},
                  [&](auto result) { answer.set_value(std::move(result)); });
    const auto result = answer.get_future().get();
    CHECK(result.ok()) << result.status();
    offer = *result;
  }
  ~Offered() { server.reset(); }

  absl::Status Fetch() {
    ImageReceiver receiver(offer.num_computed, offer.image_bytes);
    std::promise<absl::Status> end;
    peer->Fetch(offer.name, [&](int64_t at, std::string_view bytes, uint32_t checksum) { return receiver.Add(at, bytes, checksum); },
                [&](absl::Status status) { end.set_value(std::move(status)); });
    absl::Status status = end.get_future().get();
    return status.ok() ? receiver.Finish().status() : status;
  }

  const std::unique_ptr<Engine> engine;
  Exporter exporter;
  Serving serving{ServingConfig{.served_names = {"m"}}, &kClock};
  std::unique_ptr<GrpcServer> server;
  std::shared_ptr<HandoverPeer> peer;
  PrefillOffer offer;
};

void BM_Fetch(benchmark::State& state) {
  Offered offered(static_cast<int>(state.range(0)));
  for (auto _ : state) {
    const absl::Status status = offered.Fetch();
    CHECK(status.ok()) << status;
  }
  state.SetBytesProcessed(state.iterations() * offered.offer.image_bytes);
  state.counters["MiB"] = static_cast<double>(offered.offer.image_bytes) / (1 << 20);
}
BENCHMARK(BM_Fetch)->ArgName("tokens")->Arg(256)->Arg(2000)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);

// The bytes of the same image to fresh memory, as a receiver has it.
void BM_PlainCopy(benchmark::State& state) {
  const size_t bytes = [&] {
    const auto engine = StartEngine();
    return static_cast<size_t>(engine->layout().ImageBytes(std::min<int>(static_cast<int>(state.range(0)), engine->info().max_model_len - 2)));
  }();
  const std::vector<char> from(bytes, 'x');
  for (auto _ : state) {
    const Bytes to(bytes);
    std::memcpy(to.data(), from.data(), bytes);
    benchmark::DoNotOptimize(to.data());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}
BENCHMARK(BM_PlainCopy)->ArgName("tokens")->Arg(256)->Arg(2000)->MeasureProcessCPUTime()->UseRealTime()->Unit(benchmark::kMillisecond);

void BM_PartChecksum(benchmark::State& state) {
  const std::string bytes(1 << 20, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(PartChecksum(bytes));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes.size()));
}
BENCHMARK(BM_PartChecksum);

}  // namespace
}  // namespace braid
