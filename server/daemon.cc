#include "server/daemon.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>

#include "absl/strings/match.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"
#include "models/text_model.h"
#include "models/weights/checkpoint.h"
#include "server/admin_routes.h"
#include "server/api_key_file.h"
#include "server/engine_token_source.h"
#include "server/handover_token_source.h"
#include "server/health.h"
#include "server/openai/openai_routes.h"
#include "server/page/page.h"
#include "server/prefill_header.h"
#include "server/setting.h"
#include "server/text_only_source.h"
#include "server/tls_files.h"
#include "server/version.h"

namespace braid {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr double kStuckStepS = 60;                    // liveness where steps have no limit: one may take so long
constexpr milliseconds kLookAtFiles{2000};            // for other keys and certificates
constexpr int kTextOnlyLen = 1 << 20;                  // context shown by a server without a model
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
  serving.limits = config.request_limits;
  serving.responses = config.stored_responses;
  serving.text_threads = config.text_threads;
  serving.debug_endpoints = config.debug_endpoints;
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

Daemon::Daemon(const Config& config, std::vector<KeyHash> keys, std::shared_ptr<TlsContext> tls,
               std::shared_ptr<PeerKey> peer_key)
    : config_(config),
      keys_(std::move(keys)),
      tls_(std::move(tls)),
      peer_key_(std::move(peer_key)),
      metrics_(MetricsOf(config)),
      serving_(ServingOf(config), &clock_, &metrics_) {
  metrics_.SetResponses([this] { return serving_.responses().Stats(); });
}

HttpConfig Daemon::DoorConfig(const std::string& address, int port) const {
  HttpConfig http;
  http.address = address;
  http.port = static_cast<uint16_t>(port);
  http.io_threads = config_.io_threads;
  http.limits = config_.http_limits;
  http.limits.keep_alive_ms = std::llround(config_.sse_keep_alive_s * 1e3);
  http.api_keys = keys_;
  http.tls = tls_;
  return http;
}

RouteTable Daemon::Routes() {
  RoutesConfig config;
  config.version = kVersion;
  config.metrics = [this] { return metrics_.Text(); };
  config.live = [this] { return IsLive(); };
  config.worker = [this] { return Worker(); };
  if (peer_key_ != nullptr) {
    config.prefill_peer = [this](std::string_view header) { return ReadPrefillHeader(*peer_key_, header); };
  }
  RouteTable routes = MakeRoutes(&serving_, std::move(config));
  if (config_.page) routes.Add(PageRoute());
  return routes;
}

absl::Status Daemon::OpenDoors() {
  HttpConfig http = DoorConfig(config_.host, config_.port);
  http.cors = {config_.allowed_origins, config_.allowed_methods, config_.allowed_headers, config_.allow_credentials};
  http.on_access = [this](const HttpAccess& access) {
    if (!IsProbe(access.handler)) metrics_.OnHttpRequest(access.handler, access.method, access.status, access.seconds);
  };
  ASSIGN_OR_RETURN(http_, HttpServer::Start(std::move(http), Routes()));
  if (config_.grpc_port >= 0) {
    GrpcConfig grpc{.address = config_.host, .port = config_.grpc_port, .threads = config_.io_threads, .api_keys = keys_,
                    .max_message_bytes = config_.grpc_max_message_bytes, .max_streams = config_.grpc_max_streams};
    if (config_.role != Role::kDecode) grpc.peer_key = peer_key_;
    ASSIGN_OR_RETURN(grpc_, GrpcServer::Start(std::move(grpc), &serving_));
  }
  RETURN_IF_ERROR(OpenAdmin());
  WatchFiles();
  Log("listening");
  return absl::OkStatus();
}

absl::Status Daemon::OpenAdmin() {
  if (config_.admin_port < 0) return absl::OkStatus();
  HttpConfig http = DoorConfig(config_.admin_host, config_.admin_port);
  http.io_threads = 1;
  AdminRoutesConfig routes;
  routes.server_info = [this] { return Info(); };
  routes.load = [this] { return serving_.InFlight(); };
  routes.metrics = [this] { return metrics_.Text(); };
  routes.reset_prefix_cache = [this] {
    if (!serving_.loaded()) return absl::UnavailableError("the model is loading");
    if (engine_ != nullptr) engine_->ResetPrefixCache();
    return absl::OkStatus();
  };
  ASSIGN_OR_RETURN(admin_, HttpServer::Start(std::move(http), MakeAdminRoutes(std::move(routes))));
  return absl::OkStatus();
}

// Thread: the admin port's; the engine is there once the model is loaded, and outlives that port.
Json Daemon::Info() {
  Json info;
  info["version"] = kVersion;
  info["state"] = !serving_.loaded() ? "loading" : serving_.draining() ? "draining" : "ready";
  info["server_load"] = serving_.InFlight();
  info["model"] = Json{{"path", config_.engine.model}, {"served_names", serving_.config().served_names}};
  info["config"] = Json::object();
  for (const Setting& setting : Settings()) {
    const auto given = config_.given.find(setting.name);
    info["config"][setting.name] = given != config_.given.end() ? given->second : setting.standard;
  }
  if (!serving_.loaded()) return info;
  const EngineInfo& engine = serving_.model()->source->info();
  info["engine"] = Json{{"fingerprint", engine.fingerprint}, {"max_model_len", engine.max_model_len},
                        {"vocab_size", engine.vocab_size}, {"block_size", engine.block_size},
                        {"num_blocks", engine.num_blocks}, {"kv_dtype", engine.kv_dtype},
                        {"num_state_slots", engine.num_state_slots},
                        {"state_bytes_per_sequence", engine.state_bytes_per_sequence}};
  return info;
}

void Daemon::WatchFiles() {
  watch_ = std::make_unique<FileWatch>(kLookAtFiles);
  if (!config_.api_key_file.empty()) watch_->Add({config_.api_key_file}, [this] { RenewKeys(); });
  if (tls_ != nullptr) watch_->Add({config_.tls_cert, config_.tls_key}, [this] { RenewCertificate(); });
  watch_->Start();
}

// Whatever is wrong with the new file, the old keys stay.
void Daemon::RenewKeys() {
  const auto keys = ReadApiKeyFile(config_.api_key_file);
  if (!keys.ok()) {
    return braid::Log(LogLevel::kError, "the new keys are not used", {{"error", std::string(keys.status().message())}});
  }
  http_->SetApiKeys(*keys);
  if (admin_ != nullptr) admin_->SetApiKeys(*keys);
  if (grpc_ != nullptr) grpc_->SetApiKeys(*keys);
  braid::Log(LogLevel::kInfo, "new keys are in use", {{"keys", keys->size()}});
}

void Daemon::RenewCertificate() {
  const auto tls = ReadTlsFiles(config_.tls_cert, config_.tls_key);
  if (!tls.ok()) {
    return braid::Log(LogLevel::kError, "the new certificate is not used", {{"error", std::string(tls.status().message())}});
  }
  http_->SetTls(*tls);
  if (admin_ != nullptr) admin_->SetTls(*tls);
  braid::Log(LogLevel::kInfo, "a new certificate is in use", {{"file", config_.tls_cert}});
}

void Daemon::Log(const char* what) const {
  braid::Log(LogLevel::kInfo, what,
             {{"host", config_.host}, {"http_port", static_cast<int>(http_->port())},
              {"tls", tls_ != nullptr}, {"grpc_port", grpc_ != nullptr ? grpc_->port() : -1},
              {"admin_port", admin_ != nullptr ? admin_->port() : -1}, {"model", serving_.config().served_names[0]}});
}

bool Daemon::IsLive() {
  if (!serving_.loaded() || engine_ == nullptr) return true;
  const double limit_s = config_.engine.step_timeout_s > 0 ? config_.engine.step_timeout_s : kStuckStepS;
  return EngineMoves(engine_->Stats(), clock_.NowNs(), static_cast<int64_t>(limit_s * 1e9));
}

absl::Status Daemon::NeedTokenizer(const TextModel& text, const char* setting) const {
  if (text.tokenizer != nullptr) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(config_.engine.model, ": has no tokenizer, and ", setting, " needs one"));
}

absl::Status Daemon::LoadText() {
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint, Checkpoint::OpenText(config_.engine.model));
  LoadedModel model;
  ASSIGN_OR_RETURN(model.text, LoadTextModel(*checkpoint));
  RETURN_IF_ERROR(NeedTokenizer(model.text, "--tokenizer-only"));
  model.text.output_format = config_.output_format.value_or(model.text.output_format);
  const int shown_len = config_.engine.max_model_len > 0 ? config_.engine.max_model_len : kTextOnlyLen;
  model.source = std::make_unique<TextOnlySource>(*model.text.tokenizer, shown_len);
  serving_.SetReady(std::move(model));
  Log("ready");
  return absl::OkStatus();
}

// Thread: the loading one.
std::unique_ptr<TokenSource> Daemon::MakeSource() {
  if (peer_key_ == nullptr) return std::make_unique<EngineTokenSource>(engine_.get());
  peers_ = std::make_unique<PeerDirectory>(peer_key_);
  exporter_ = std::make_unique<Exporter>(engine_.get(), &clock_,
                                         ExporterConfig{.lease_ms = std::max<int64_t>(1, std::llround(config_.handover_lease_s * 1e3))});
  importer_ = std::make_unique<Importer>(engine_.get(), &clock_,
                                         ImporterConfig{.max_staged_bytes = config_.handover_memory_bytes});
  metrics_.SetHandover([this] { return HandoverStats{exporter_->offers().Stats(), importer_->Stats()}; });
  return std::make_unique<HandoverTokenSource>(config_.role, engine_.get(), importer_.get(), peers_.get());
}

// What a router wants to know. Thread: any; the engine is there once the model is loaded, and outlives the ports.
std::string Daemon::Worker() {
  static constexpr const char* kRoles[] = {"both", "prefill", "decode"};
  Json worker{{"version", kVersion}, {"role", kRoles[static_cast<int>(config_.role)]}, {"ready", serving_.ready()}};
  worker["grpc_port"] = grpc_ != nullptr ? grpc_->port() : -1;
  worker["hands_over"] = peer_key_ != nullptr && config_.role != Role::kDecode && grpc_ != nullptr;
  worker["takes_over"] = peer_key_ != nullptr && config_.role != Role::kPrefill;
  if (!serving_.loaded() || engine_ == nullptr) return WriteJson(worker);
  const EngineStats stats = engine_->Stats();
  worker["fingerprint"] = engine_->info().fingerprint;
  worker["model_digest"] = engine_->info().model_digest;
  worker["running"] = stats.running;
  worker["waiting"] = stats.waiting;
  worker["kv_usage"] = stats.blocks_total > 0 ? static_cast<double>(stats.blocks_used) / stats.blocks_total : 0.0;
  return WriteJson(worker);
}

absl::StatusOr<std::unique_ptr<Engine>> Daemon::StartEngine(const TextModel& text, const Checkpoint& checkpoint) const {
  EngineConfig engine = config_.engine;
  if (text.tokenizer != nullptr && text.tokenizer->eos_id().has_value()) {
    engine.eos_token_ids.push_back(*text.tokenizer->eos_id());
  }
  engine.rank_program = "/proc/self/exe";
  if (!config_.fake_engine) return Engine::Start(engine, checkpoint, &clock_);
  RETURN_IF_ERROR(NeedTokenizer(text, "--engine fake"));
  braid::Log(LogLevel::kWarning, "the engine is a fake: its answers are random words");
  return Engine::StartFake(engine, *text.tokenizer, std::chrono::microseconds(config_.fake_step_us), &clock_);
}

absl::Status Daemon::Load() {
  if (config_.tokenizer_only) return LoadText();
  double since = clock_.NowSeconds();
  const auto phase_ends = [&](std::string_view phase) {
    metrics_.OnStartupPhase(phase, clock_.NowSeconds() - std::exchange(since, clock_.NowSeconds()));
  };
  ASSIGN_OR_RETURN(const std::unique_ptr<Checkpoint> checkpoint,
                   config_.fake_engine ? Checkpoint::OpenText(config_.engine.model) : Checkpoint::Open(config_.engine.model));
  phase_ends("checkpoint");
  LoadedModel model;
  ASSIGN_OR_RETURN(model.text, LoadTextModel(*checkpoint));
  model.text.output_format = config_.output_format.value_or(model.text.output_format);
  if (config_.generation_config) {
    ASSIGN_OR_RETURN(model.defaults, ReadGenerationDefaults(checkpoint->generation_config()));
  }
  phase_ends("tokenizer");
  ASSIGN_OR_RETURN(engine_, StartEngine(model.text, *checkpoint));
  phase_ends("engine");
  if (model.text.tokenizer != nullptr && model.text.tokenizer->vocab_size() > engine_->info().vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(config_.engine.model, ": tokenizer: token id ",
                                                   model.text.tokenizer->vocab_size() - 1, " is past the embedding's ",
                                                   engine_->info().vocab_size, " rows"));
  }
  metrics_.SetModel(engine_->info(), [this] { return engine_->Stats(); });
  model.source = MakeSource();
  serving_.SetReady(std::move(model));
  if (grpc_ != nullptr && exporter_ != nullptr) grpc_->SetExporter(exporter_.get());
  if (grpc_ != nullptr) grpc_->SetServing(true);
  Log("ready");
  return absl::OkStatus();
}

// Also the prompts for others are computed and fetched.
bool Daemon::IsIdle() {
  if (serving_.InFlight() > 0) return false;
  return exporter_ == nullptr || (engine_->InFlight() == 0 && exporter_->offers().Stats().kept == 0);
}

// Not ready, then not listening, then what is under way gets its time; what is left gets an error event.
void Daemon::Drain() {
  Log("draining");
  serving_.BeginDrain();
  if (grpc_ != nullptr) grpc_->SetServing(false);
  std::this_thread::sleep_until(After(config_.drain_delay_s));
  http_->StopListening();
  const auto idle = [this] { return IsIdle(); };
  if (!WaitUntil(After(config_.drain_timeout_s), idle)) {
    braid::Log(LogLevel::kWarning, "the drain's time is over", {{"requests_cut_off", serving_.InFlight()}});
    if (engine_ != nullptr) engine_->BeginDrain();
    if (engine_ != nullptr) engine_->AbortAll(absl::UnavailableError("the server is shutting down"));
    WaitUntil(steady_clock::now() + kFarewell, idle);
  }
  WaitUntil(steady_clock::now() + kFarewell, [this] { return http_->Connections() == 0; });
  if (grpc_ != nullptr) grpc_->Shutdown(kFarewell);
  watch_.reset();
  http_.reset();
  admin_.reset();
  grpc_.reset();
  serving_.StopBackground();
  metrics_.ForgetModel();
  importer_.reset();
  exporter_.reset();
  peers_.reset();
  engine_.reset();
  braid::Log(LogLevel::kInfo, "stopped");
}

absl::Status Daemon::Run(const Config& config) {
  ShutdownSignal signal;
  std::vector<KeyHash> keys;
  if (!config.api_key_file.empty()) {
    ASSIGN_OR_RETURN(keys, ReadApiKeyFile(config.api_key_file));
  }
  std::shared_ptr<TlsContext> tls;
  if (!config.tls_cert.empty()) {
    ASSIGN_OR_RETURN(tls, ReadTlsFiles(config.tls_cert, config.tls_key));
  }
  std::shared_ptr<PeerKey> peer_key;
  if (!config.handover_key_file.empty()) {
    ASSIGN_OR_RETURN(peer_key, PeerKey::Read(config.handover_key_file));
  }
  Daemon daemon(config, std::move(keys), std::move(tls), std::move(peer_key));
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
