#include "server/daemon.h"

#include <algorithm>
#include <ctime>
#include <functional>

#include "absl/strings/match.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"
#include "models/text_model.h"
#include "models/weights/checkpoint.h"
#include "server/api_key_file.h"
#include "server/engine_token_source.h"
#include "server/openai/openai_routes.h"
#include "server/version.h"

namespace braid {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr int64_t kStuckStepNs = 60'000'000'000;      // liveness: a step may take so long
constexpr milliseconds kFarewell{2000};               // for error events to reach their clients

// Probes and scrapes are no traffic.
bool IsProbe(std::string_view handler) {
  static constexpr std::string_view kProbes[] = {"metrics", "health", "ready", "live", "load", "version"};
  return std::find(std::begin(kProbes), std::end(kProbes), handler) != std::end(kProbes);
}

std::vector<std::string> ServedNames(const Config& config) {
  if (!config.served_names.empty()) return config.served_names;
  std::string path = config.engine.model;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return {path.substr(path.rfind('/') + 1)};
}

MetricsConfig MetricsOf(const Config& config) {
  return {ServedNames(config)[0], config.ttft_buckets, config.itl_buckets, config.latency_buckets};
}

ServingConfig ServingOf(const Config& config) {
  ServingConfig serving;
  serving.served_names = ServedNames(config);
  serving.model_root = config.engine.model;
  serving.created_unix_s = std::time(nullptr);
  serving.text_threads = config.text_threads;
  return serving;
}

// Waits until `done`, at most until `limit`; tells whether it came.
bool WaitUntil(steady_clock::time_point limit, const std::function<bool()>& done) {
  while (!done()) {
    if (steady_clock::now() >= limit) return false;
    std::this_thread::sleep_for(milliseconds(10));
  }
  return true;
}

steady_clock::time_point After(double seconds) {
  return steady_clock::now() + nanoseconds(static_cast<int64_t>(seconds * 1e9));
}

}  // namespace

Daemon::Daemon(const Config& config, std::vector<KeyHash> keys)
    : config_(config),
      keys_(std::move(keys)),
      metrics_(MetricsOf(config)),
      serving_(ServingOf(config), &clock_, &metrics_),
      health_(kStuckStepNs) {}

absl::Status Daemon::OpenDoors() {
  HttpConfig http;
  http.address = config_.host;
  http.port = static_cast<uint16_t>(config_.port);
  http.io_threads = config_.io_threads;
  http.limits.max_connections = config_.max_connections;
  http.limits.max_body_bytes = static_cast<size_t>(config_.max_body_bytes);
  http.cors.allowed_origins = config_.allowed_origins;
  http.api_keys = keys_;
  http.on_access = [this](const HttpAccess& access) {
    if (!IsProbe(access.handler)) metrics_.OnHttpRequest(access.handler, access.method, access.status, access.seconds);
  };
  RoutesConfig routes;
  routes.version = kVersion;
  routes.metrics = [this] { return metrics_.Text(); };
  routes.live = [this] { return IsLive(); };
  ASSIGN_OR_RETURN(http_, HttpServer::Start(std::move(http), MakeRoutes(&serving_, std::move(routes))));
  if (config_.grpc_port >= 0) {
    GrpcConfig grpc{.address = config_.host, .port = config_.grpc_port, .threads = config_.io_threads, .api_keys = keys_};
    ASSIGN_OR_RETURN(grpc_, GrpcServer::Start(std::move(grpc), &serving_));
  }
  Log("listening");
  return absl::OkStatus();
}

void Daemon::Log(const char* what) const {
  braid::Log(LogLevel::kInfo, what,
             {{"host", config_.host}, {"http_port", static_cast<int>(http_->port())},
              {"grpc_port", grpc_ != nullptr ? grpc_->port() : -1}, {"model", serving_.config().served_names[0]}});
}

bool Daemon::IsLive() { return !serving_.loaded() || health_.IsLive(engine_->Stats(), clock_.NowNs()); }

absl::Status Daemon::Load() {
  double since = clock_.NowSeconds();
  const auto phase_ends = [&](std::string_view phase) {
    metrics_.OnStartupPhase(phase, clock_.NowSeconds() - std::exchange(since, clock_.NowSeconds()));
  };
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::Open(config_.engine.model));
  phase_ends("checkpoint");
  LoadedModel model;
  ASSIGN_OR_RETURN(model.text, LoadTextModel(*checkpoint));
  phase_ends("tokenizer");
  EngineConfig engine = config_.engine;
  if (model.text.tokenizer != nullptr && model.text.tokenizer->eos_id().has_value()) {
    engine.eos_token_ids.push_back(*model.text.tokenizer->eos_id());
  }
  ASSIGN_OR_RETURN(engine_, Engine::Start(engine, *checkpoint, &clock_));
  phase_ends("engine");
  if (model.text.tokenizer != nullptr && model.text.tokenizer->vocab_size() > engine_->info().vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(config_.engine.model, ": tokenizer: token id ",
                                                   model.text.tokenizer->vocab_size() - 1, " is past the embedding's ",
                                                   engine_->info().vocab_size, " rows"));
  }
  metrics_.SetModel(engine_->info(), [this] { return engine_->Stats(); });
  model.source = std::make_unique<EngineTokenSource>(engine_.get());
  serving_.SetReady(std::move(model));
  if (grpc_ != nullptr) grpc_->SetServing(true);
  Log("ready");
  return absl::OkStatus();
}

// Not ready, then not listening, then what is under way gets its time; what is left gets an error event.
void Daemon::Drain() {
  Log("draining");
  serving_.BeginDrain();
  if (grpc_ != nullptr) grpc_->SetServing(false);
  std::this_thread::sleep_until(After(config_.drain_delay_s));
  http_->StopListening();
  const auto idle = [this] { return serving_.InFlight() == 0; };
  if (!WaitUntil(After(config_.drain_timeout_s), idle)) {
    braid::Log(LogLevel::kWarning, "the drain's time is over", {{"requests_cut_off", serving_.InFlight()}});
    engine_->BeginDrain();
    engine_->AbortAll(absl::UnavailableError("the server is shutting down"));
    WaitUntil(steady_clock::now() + kFarewell, idle);
  }
  WaitUntil(steady_clock::now() + kFarewell, [this] { return http_->Connections() == 0; });
  if (grpc_ != nullptr) grpc_->Shutdown(kFarewell);
  http_.reset();
  grpc_.reset();
  metrics_.ForgetModel();
  engine_.reset();
  braid::Log(LogLevel::kInfo, "stopped");
}

absl::Status Daemon::Run(const Config& config) {
  ShutdownSignal signal;
  std::vector<KeyHash> keys;
  if (!config.api_key_file.empty()) {
    ASSIGN_OR_RETURN(keys, ReadApiKeyFile(config.api_key_file));
  }
  Daemon daemon(config, std::move(keys));
  RETURN_IF_ERROR(daemon.OpenDoors());
  absl::Status loaded;
  std::thread loader([&] {
    loaded = daemon.Load();
    if (!loaded.ok()) signal.Wake();
  });
  signal.Wait();
  if (!daemon.serving_.loaded() && !signal.woken()) {
    braid::Log(LogLevel::kInfo, "stopped while loading");
    std::_Exit(0);  // nothing was promised to anybody yet, and the loader cannot be called off
  }
  loader.join();
  if (loaded.ok()) daemon.Drain();
  return loaded;
}

}  // namespace braid
