#include "server/openai/openai_routes.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/json.h"
#include "server/anthropic/error_json.h"
#include "server/openai/stored_routes.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

// An API's body of an error.
using ErrorWords = std::string (*)(const absl::Status&);

HttpResponse ErrorResponse(const absl::Status& status, ErrorWords words = ErrorBody) {
  HttpResponse response{.status = HttpStatusOf(status), .body = words(status)};
  const int seconds = RetryAfterSeconds(status);
  if (seconds > 0) response.headers.emplace_back("Retry-After", absl::StrCat(seconds));
  return response;
}

HttpResponse JsonResponse(absl::StatusOr<std::string> body) {
  if (!body.ok()) return ErrorResponse(body.status());
  return {.body = *std::move(body)};
}

// Brings a call's answer to its connection. Thread: the connection's.
class HttpSink : public ReplySink {
 public:
  HttpSink(std::shared_ptr<HttpExchange> exchange, ErrorWords words) : exchange_(std::move(exchange)), words_(words) {}

  void OnReply(std::string json) override { exchange_->Send({.body = std::move(json)}); }

  void OnChunk(std::string_view json) override {
    if (!std::exchange(streaming_, true)) exchange_->BeginEvents();
    exchange_->Event(json);
  }

  void OnEvent(std::string_view name, std::string_view json) override {
    named_ = true;
    if (!std::exchange(streaming_, true)) exchange_->BeginEvents();
    exchange_->Event(json, name);
  }

  void OnFlush() override { exchange_->Flush(); }

  void OnDone() override {
    if (!std::exchange(streaming_, true)) exchange_->BeginEvents();
    if (!named_) exchange_->Event("[DONE]");
    exchange_->EndEvents();
  }

  // An answer cut short never looks whole: no [DONE] behind the error.
  void OnError(const absl::Status& status) override {
    if (!streaming_) return exchange_->Send(ErrorResponse(status, words_));
    exchange_->Event(words_(status));
    exchange_->BreakEvents();
  }

  void OnBroken(const absl::Status&) override { exchange_->BreakEvents(); }

 private:
  const std::shared_ptr<HttpExchange> exchange_;  // shared: the connection may go first
  const ErrorWords words_;
  bool streaming_ = false;
  bool named_ = false;                            // events with names: the last of them says that it is the last
};

ErrorWords WordsOf(ApiKind kind) {
  if (kind == ApiKind::kMessages || kind == ApiKind::kCountTokens) return MessagesErrorBody;
  return ErrorBody;
}

using PeerOfHeader = std::function<absl::StatusOr<std::string>(std::string_view header)>;

HttpHandler CallHandler(Serving* serving, ApiKind kind, const PeerOfHeader& peer_of_header) {
  return [serving, kind, peer_of_header](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    CallContext context;
    context.request_id = std::move(request.request_id);
    context.api_key_id = std::move(request.api_key_id);
    context.arrival_ns = serving->clock().NowNs();
    if (request.timeout_ms > 0) context.deadline_ns = context.arrival_ns + request.timeout_ms * 1'000'000;
    const std::string* const peer = request.head.Find("x-braid-prefill");
    if (peer != nullptr && peer_of_header) {
      auto known = peer_of_header(*peer);
      if (!known.ok()) return exchange->Send(ErrorResponse(known.status(), WordsOf(kind)));
      context.prefill_peer = *std::move(known);
    }
    context.post = [exchange](std::function<void()> task) { exchange->Post(std::move(task)); };
    auto call = serving->Start(kind, std::move(request.body), std::move(context), std::make_shared<HttpSink>(exchange, WordsOf(kind)));
    exchange->OnGone([call] { call->Cancel(); });
  };
}

// A handler whose answer needs nothing of the request.
HttpHandler Fixed(std::function<HttpResponse()> make) {
  return [make = std::move(make)](HttpRequest, std::shared_ptr<HttpExchange> exchange) { exchange->Send(make()); };
}

HttpResponse Empty() { return {.content_type = "", .body = ""}; }

HttpResponse Health(const Serving& serving) {
  if (serving.loaded()) return Empty();
  const Json error{{"code", 503}, {"message", "Loading model"}, {"type", "unavailable_error"}, {"param", nullptr}};
  return {.status = 503, .body = WriteJson(Json{{"error", error}}), .headers = {{"Retry-After", "1"}}};
}

HttpResponse Ready(const Serving& serving) {
  if (serving.ready()) return Empty();
  return ErrorResponse(absl::UnavailableError(serving.loaded() ? "the server is shutting down" : "the model is loading"));
}

void AddState(RouteTable& routes, const Serving* serving, const RoutesConfig& config) {
  const auto open = [&](const char* path, const char* name, HttpHandler handler) {
    routes.Add({.method = "GET", .path = path, .name = name, .open = true, .handler = std::move(handler)});
  };
  for (const char* path : {"/health", "/v1/health", "/ping"}) open(path, "health", Fixed([serving] { return Health(*serving); }));
  for (const char* path : {"/ready", "/readyz"}) open(path, "ready", Fixed([serving] { return Ready(*serving); }));
  open("/livez", "live", Fixed([live = config.live] {
         return !live || live() ? Empty() : ErrorResponse(absl::UnavailableError("the engine does not move"));
       }));
  open("/version", "version", Fixed([version = config.version] {
         return HttpResponse{.body = WriteJson(Json{{"version", version}})};
       }));
  open("/load", "load", Fixed([serving] {
         return HttpResponse{.body = WriteJson(Json{{"server_load", serving->InFlight()}})};
       }));
  if (config.worker) open("/worker", "worker", Fixed([worker = config.worker] { return HttpResponse{.body = worker()}; }));
  if (!config.metrics) return;
  open("/metrics", "metrics", Fixed([metrics = config.metrics] {
         return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics()};
       }));
}

// Endpoints of other kinds of models: an answer in words, not a 404.
void AddRefusals(RouteTable& routes) {
  for (const char* path : {"/v1/embeddings", "/v1/score", "/v1/rerank"}) {
    routes.Add({.method = "POST", .path = path, .name = "unsupported", .handler = Fixed([path] {
                  return ErrorResponse(absl::InvalidArgumentError(absl::StrCat(path, " is not served: this is a generative model")));
                })});
  }
}

}  // namespace

RouteTable MakeRoutes(Serving* serving, RoutesConfig config) {
  RouteTable routes;
  AddState(routes, serving, config);
  const auto post = [&](const char* path, const char* name, ApiKind kind) {
    routes.Add({.method = "POST", .path = path, .name = name, .handler = CallHandler(serving, kind, config.prefill_peer)});
  };
  const auto post_messages = [&](const char* path, const char* name, ApiKind kind) {
    routes.Add({.method = "POST", .path = path, .name = name, .handler = CallHandler(serving, kind, config.prefill_peer),
                .error_body = [](int status, std::string_view message) { return MessagesErrorBody(status, message); }});
  };
  post("/v1/chat/completions", "chat_completions", ApiKind::kChat);
  post("/v1/completions", "completions", ApiKind::kCompletion);
  post("/v1/responses", "responses", ApiKind::kResponses);
  // Anthropic's clients append /v1/messages to a base URL that may end in /v1 already.
  for (const char* path : {"/v1/messages", "/v1/v1/messages"}) post_messages(path, "messages", ApiKind::kMessages);
  for (const char* path : {"/v1/messages/count_tokens", "/v1/v1/messages/count_tokens"}) {
    post_messages(path, "count_tokens", ApiKind::kCountTokens);
  }
  for (const char* path : {"/tokenize", "/v1/tokenize"}) post(path, "tokenize", ApiKind::kTokenize);
  for (const char* path : {"/detokenize", "/v1/detokenize"}) post(path, "detokenize", ApiKind::kDetokenize);
  for (const char* path : {"/apply-template", "/v1/apply-template"}) post(path, "apply_template", ApiKind::kApplyTemplate);
  if (serving->config().debug_endpoints) {
    post("/grammar/check", "grammar_check", ApiKind::kCheckGrammar);
    post("/parse-output", "parse_output", ApiKind::kParseOutput);
  }
  routes.Add({.method = "GET", .path = "/v1/models", .name = "models", .handler = Fixed([serving] {
                return JsonResponse(serving->ModelList());
              })});
  routes.Add({.method = "GET", .path = "/v1/models/", .name = "models",
              .handler = [serving](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
                exchange->Send(JsonResponse(serving->ModelCard(request.rest)));
              }});
  AddStoredRoutes(serving, routes);
  AddRefusals(routes);
  return routes;
}

}  // namespace braid
