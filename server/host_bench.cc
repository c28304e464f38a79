// The host's part of serving: sockets, text, scheduler and engine loop are the daemon's own, the model computes nothing.
// BRAID_BENCH_MODEL names a folder or .gguf file with a tokenizer and a chat template. The clients are one thread; its
// CPU time is not the server's.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <thread>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"
#include "models/weights/checkpoint.h"
#include "server/engine_token_source.h"
#include "server/http/http_server.h"
#include "server/metrics.h"
#include "server/openai/openai_routes.h"
#include "server/stream_clients_bench.h"

namespace braid {
namespace {

constexpr int kContext = 4096;

double CpuSeconds(clockid_t clock) {
  timespec time;
  CHECK_EQ(clock_gettime(clock, &time), 0);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Of all threads but this one, which is the clients'.
double ServerCpuSeconds() { return CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - CpuSeconds(CLOCK_THREAD_CPUTIME_ID); }

// Lets tokens go `gap_ns` apart, those of all streams together, and remembers when each went. A stream is known by its
// seed. Submit: any thread; events: the engine's.
class PacedSource : public EngineTokenSource {
 public:
  PacedSource(Engine* engine, const Clock* clock, int64_t gap_ns, EmissionTimes* emitted)
      : EngineTokenSource(engine), clock_(clock), gap_ns_(gap_ns), emitted_(emitted) {}

  absl::StatusOr<RequestHandle> Submit(GenerateRequest request) override {
    request.on_event = [this, stream = request.sampling.seed, next = std::move(request.on_event)](TokenEvent event) {
      due_ns_ = std::max(due_ns_ + gap_ns_, clock_->NowNs() - kCatchUpNs);
      std::this_thread::sleep_for(std::chrono::nanoseconds(due_ns_ - clock_->NowNs()));
      event.emitted_ns = clock_->NowNs();
      emitted_->Add(stream, event.emitted_ns);
      next(std::move(event));
    };
    return EngineTokenSource::Submit(std::move(request));
  }

 private:
  static constexpr int64_t kCatchUpNs = 500'000;  // a sleep that was too long is made up for, a pause is not

  const Clock* const clock_;
  const int64_t gap_ns_;
  EmissionTimes* const emitted_;
  int64_t due_ns_ = 0;
};

// What the daemon builds, without its settings, in this process.
class Front {
 public:
  // `emitted` null: tokens go at once.
  explicit Front(int max_sequences, int64_t gap_ns = 0, EmissionTimes* emitted = nullptr) {
    SetLogLevel(LogLevel::kError);
    const char* const path = std::getenv("BRAID_BENCH_MODEL");
    CHECK(path != nullptr) << "BRAID_BENCH_MODEL is not set";
    const auto checkpoint = Checkpoint::OpenText(path);
    CHECK(checkpoint.ok()) << checkpoint.status();
    auto text = LoadTextModel(**checkpoint);
    CHECK(text.ok()) << text.status();
    CHECK(text->tokenizer != nullptr && text->chat_template != nullptr) << path << " has no tokenizer or no chat template";
    EngineConfig config{.memory_bytes = int64_t{2} << 30, .max_model_len = kContext};
    config.scheduler.max_sequences = max_sequences;
    config.scheduler.max_tokens_per_step = std::max(2 * max_sequences, 512);
    auto engine = Engine::StartFake(config, *text->tokenizer, {}, &clock_);
    CHECK(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    metrics_.SetModel(engine_->info(), [this] { return engine_->Stats(); });
    LoadedModel model{.source = std::make_unique<EngineTokenSource>(engine_.get()), .text = *std::move(text)};
    if (emitted != nullptr) model.source = std::make_unique<PacedSource>(engine_.get(), &clock_, gap_ns, emitted);
    serving_.SetReady(std::move(model));
    HttpConfig http{.address = "127.0.0.1", .port = 0, .io_threads = 2};
    http.limits.max_connections = 4096;
    auto server = HttpServer::Start(std::move(http), MakeRoutes(&serving_, {}));
    CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  ~Front() {
    server_.reset();
    engine_.reset();
  }

  uint16_t port() const { return server_->port(); }

 private:
  SteadyClock clock_;
  Metrics metrics_{{.model_name = "fake"}};
  std::unique_ptr<Engine> engine_;
  Serving serving_{{.served_names = {"fake"}}, &clock_, &metrics_};
  std::unique_ptr<HttpServer> server_;
};

// As many descriptors as both ends of the streams need.
void AllowManySockets() {
  rlimit limit;
  CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Server CPU seconds of a token in `streams` streams at once.
double SecondsPerToken(int streams, int tokens) {
  Front front(streams);
  StreamClients clients(front.port(), streams);
  const double before = ServerCpuSeconds();
  clients.Run({.requests = streams, .tokens = tokens});
  return (ServerCpuSeconds() - before) / streams / tokens;
}

// Detokenizer, JSON, SSE and socket, and the engine's step around them. Bound: 5 us of one core.
void streamed_token(benchmark::State& state) {
  AllowManySockets();
  const int streams = static_cast<int>(state.range(0)), tokens = static_cast<int>(state.range(1));
  double seconds = 0;
  for (auto _ : state) seconds += SecondsPerToken(streams, tokens);
  state.counters["server_us_per_token"] = 1e6 * seconds / static_cast<double>(state.iterations());
}
BENCHMARK(streamed_token)->ArgNames({"streams", "tokens"})->Args({1, 4000})->Args({256, 1000})->Args({1024, 400})
    ->Iterations(1)->Unit(benchmark::kMillisecond)->UseRealTime();

// From the engine's letting a token go to its being read, once all streams run. Tokens go evenly, at half of what one
// core can carry as just measured. Bound: 2 ms at the 99th percentile.
void paced_streams(benchmark::State& state) {
  AllowManySockets();
  const int streams = static_cast<int>(state.range(0)), tokens = static_cast<int>(state.range(1));
  const double gap_seconds = 2 * SecondsPerToken(streams, 200);
  std::vector<double> latency_ms;
  double busy = 0;
  for (auto _ : state) {
    EmissionTimes emitted(streams, tokens);
    Front front(streams, static_cast<int64_t>(1e9 * gap_seconds), &emitted);
    StreamClients clients(front.port(), streams);
    const double before = ServerCpuSeconds();
    const double seconds = clients.Run({.requests = streams, .tokens = tokens, .emitted = &emitted});
    busy = (ServerCpuSeconds() - before) / seconds;
    latency_ms = clients.LatencyMs();
  }
  std::sort(latency_ms.begin(), latency_ms.end());
  const auto at = [&](double share) { return latency_ms[static_cast<size_t>(share * static_cast<double>(latency_ms.size() - 1))]; };
  state.counters["tokens_per_second"] = 1 / gap_seconds;
  state.counters["cores_busy"] = busy;
  state.counters["p50_ms"] = at(0.5);
  state.counters["p99_ms"] = at(0.99);
  state.counters["max_ms"] = at(1);
}
BENCHMARK(paced_streams)->ArgNames({"streams", "tokens"})->Args({1024, 400})->Iterations(1)
    ->Unit(benchmark::kMillisecond)->UseRealTime();

// Chats of 16 tokens over kept connections, each sent when the one before is answered. Bound: 2,000 a second.
void short_requests(benchmark::State& state) {
  constexpr int kConnections = 64, kRequests = 8000, kTokens = 16;
  double cpu = 0;
  for (auto _ : state) {
    state.PauseTiming();
    Front front(kConnections);
    StreamClients clients(front.port(), kConnections);
    state.ResumeTiming();
    const double before = ServerCpuSeconds();
    clients.Run({.requests = kRequests, .tokens = kTokens});
    cpu += ServerCpuSeconds() - before;
  }
  state.SetItemsProcessed(state.iterations() * kRequests);
  state.counters["server_us_per_request"] = 1e6 * cpu / kRequests / static_cast<double>(state.iterations());
}
BENCHMARK(short_requests)->Iterations(1)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace braid
