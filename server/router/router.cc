#include "server/router/router.h"

#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/log.h"
#include "server/anthropic/error_json.h"
#include "server/api_key_file.h"
#include "server/shutdown.h"
#include "server/status_mapping.h"
#include "server/version.h"

namespace braid {
namespace {

using std::chrono::steady_clock;

HttpResponse ErrorResponse(const absl::Status& status) {
  HttpResponse response{.status = HttpStatusOf(status), .body = ErrorBody(status)};
  if (const int seconds = RetryAfterSeconds(status); seconds > 0) response.headers.emplace_back("Retry-After", absl::StrCat(seconds));
  return response;
}

HttpHandler Fixed(std::function<HttpResponse()> make) {
  return [make = std::move(make)](HttpRequest, std::shared_ptr<HttpExchange> exchange) { exchange->Send(make()); };
}

HttpConfig DoorConfig(const RouterConfig& config, std::vector<KeyHash> keys) {
  HttpConfig http;
  http.address = config.host;
  http.port = static_cast<uint16_t>(config.port);
  http.io_threads = config.io_threads;
  http.limits.max_connections = config.max_connections;
  http.limits.max_body_bytes = static_cast<size_t>(config.max_body_bytes);
  http.api_keys = std::move(keys);
  return http;
}

}  // namespace

RouteTable Router::Routes() {
  RouteTable routes;
  RouterParts* const parts = parts_.get();
  const auto open = [&](const char* path, const char* name, std::function<HttpResponse()> make) {
    routes.Add({.method = "GET", .path = path, .name = name, .open = true, .handler = Fixed(std::move(make))});
  };
  const auto empty = [] { return HttpResponse{.content_type = "", .body = ""}; };
  const auto ready = [this, parts, empty] {
    if (draining_) return ErrorResponse(absl::UnavailableError("the router is shutting down"));
    if (parts->workers.Count(Pool::kDecode).healthy == 0) return ErrorResponse(absl::UnavailableError("no worker is healthy"));
    return empty();
  };
  for (const char* path : {"/health", "/v1/health", "/ping", "/ready", "/readyz"}) open(path, "ready", ready);
  open("/livez", "live", empty);
  open("/version", "version", [] { return HttpResponse{.body = WriteJson(Json{{"version", kVersion}})}; });
  open("/load", "load", [parts] { return HttpResponse{.body = WriteJson(Json{{"server_load", parts->counters.in_flight.load()}})}; });
  open("/metrics", "metrics", [parts] {
    return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = RouterMetrics(parts->counters, parts->workers)};
  });
  const auto pass = [&](const char* method, const char* path, bool messages = false) {
    const ErrorWords words = [messages](const absl::Status& status) { return messages ? MessagesErrorBody(status) : ErrorBody(status); };
    Route route{.method = method, .path = path, .name = "routed"};
    route.handler = [parts, words](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
      std::make_shared<RoutedCall>(parts, std::move(request), std::move(exchange), words)->Begin();
    };
    if (messages) route.error_body = [](int status, std::string_view message) { return MessagesErrorBody(status, message); };
    routes.Add(std::move(route));
  };
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/tokenize", "/v1/tokenize", "/detokenize",
                           "/v1/detokenize", "/apply-template", "/v1/apply-template"}) {
    pass("POST", path);
  }
  for (const char* path : {"/v1/messages", "/v1/v1/messages", "/v1/messages/count_tokens", "/v1/v1/messages/count_tokens"}) {
    pass("POST", path, /*messages=*/true);
  }
  for (const char* path : {"/v1/models", "/v1/models/"}) pass("GET", path);
  return routes;
}

absl::StatusOr<std::unique_ptr<Router>> Router::Start(const RouterConfig& config) {
  RETURN_IF_ERROR(config.Validate());
  std::unique_ptr<Router> router(new Router());
  router->parts_ = std::make_unique<RouterParts>();
  RouterParts& parts = *router->parts_;
  parts.config = config;
  std::vector<KeyHash> keys;
  if (!config.api_key_file.empty()) {
    ASSIGN_OR_RETURN(keys, ReadApiKeyFile(config.api_key_file));
  }
  if (!config.handover_key_file.empty()) {
    ASSIGN_OR_RETURN(parts.key, PeerKey::Read(config.handover_key_file));
  }
  ASSIGN_OR_RETURN(router->http_, HttpServer::Start(DoorConfig(config, std::move(keys)), router->Routes()));
  router->work_ = std::make_unique<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>>(parts.io.get_executor());
  for (int i = 0; i < config.io_threads; ++i) router->threads_.emplace_back([&parts] { parts.io.run(); });
  router->poller_ = std::make_unique<HealthPoller>(&parts);
  return router;
}

Router::~Router() {
  poller_.reset();
  http_.reset();
  work_.reset();
  if (parts_ != nullptr) parts_->io.stop();
  for (std::thread& thread : threads_) thread.join();
}

void Router::Drain() {
  draining_ = true;
  http_->StopListening();
  const auto limit = steady_clock::now() + std::chrono::milliseconds(static_cast<int64_t>(parts_->config.drain_timeout_s * 1e3));
  while (http_->Connections() > 0 && steady_clock::now() < limit) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

absl::Status Router::Run(const RouterConfig& config) {
  ShutdownSignal signal;
  ASSIGN_OR_RETURN(const std::unique_ptr<Router> router, Start(config));
  Log(LogLevel::kInfo, "routing", {{"host", config.host}, {"http_port", static_cast<int>(router->port())}});
  signal.Wait();
  Log(LogLevel::kInfo, "draining", {{"requests", router->parts().counters.in_flight.load()}});
  router->Drain();
  Log(LogLevel::kInfo, "stopped");
  return absl::OkStatus();
}

}  // namespace braid
