// What every front door (HTTP, gRPC) shares: the model behind it, its names and limits, and the calls on it.
// A call takes a JSON body and answers JSON texts, so all doors check alike and answer alike.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/generate_request.h"
#include "kernels/base/clock.h"
#include "kernels/base/json.h"
#include "models/text_model.h"
#include "server/generation_defaults.h"
#include "server/openai/grammar_cache.h"
#include "server/openai/response_store.h"
#include "server/serving_limits.h"
#include "server/text_worker.h"

namespace braid {

// What a call needs of an engine; tests give a fake. Thread: any.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual absl::StatusOr<RequestHandle> Submit(GenerateRequest request) = 0;
  virtual void Cancel(RequestHandle handle) = 0;
  // Ends one of a request's sequences; the others go on.
  virtual void CancelChoice(RequestHandle handle, int index) = 0;
  virtual const EngineInfo& info() const = 0;
};

// One request that ended, for metrics. Times are the serving clock's; 0: never reached.
struct FinishedRequest {
  int64_t arrival_ns = 0, scheduled_ns = 0, first_token_ns = 0, last_token_ns = 0, finish_ns = 0;
  int prompt_tokens = 0, cached_tokens = 0;
  int output_tokens = 0;          // of all n sequences
  int longest_output_tokens = 0;  // of the longest sequence
  int n = 1;
  int max_tokens = 0;
  int num_preemptions = 0;
  FinishReason finish = FinishReason::kNone;  // the first sequence's; kAbort when the client went away
};

// Receives what metrics want to know. Thread: any, and quick: it is called between tokens.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  // The first token of a request's first sequence has come.
  virtual void OnFirstToken(int64_t /*since_arrival_ns*/) {}
  // A sequence got tokens `gap_ns` after its tokens before.
  virtual void OnTokenGap(int64_t /*gap_ns*/) {}
  virtual void OnFinished(const FinishedRequest&) {}
  // Refused at the door: "max_num_queued_reqs", "max_num_queued_tokens", "draining" or "loading".
  virtual void OnRejected(std::string_view /*reason*/) {}
};

struct ServingConfig {
  std::vector<std::string> served_names;  // at least one; the first is listed first
  std::string model_root;                 // where the model came from, shown by /v1/models
  int64_t created_unix_s = 0;             // shown by /v1/models
  ServingLimits limits;
  ResponseStoreLimits responses;
  bool debug_endpoints = false;           // serve kCheckGrammar, kParseOutput and templates that a request brings
  int text_threads = 2;
  int max_text_queue = 1024;              // calls waiting for a text thread; more are answered Unavailable
};

enum class ApiKind {
  kChat,           // POST /v1/chat/completions
  kCompletion,     // POST /v1/completions
  kResponses,      // POST /v1/responses
  kMessages,       // POST /v1/messages
  kCountTokens,    // POST /v1/messages/count_tokens
  kTokenize,       // POST /tokenize
  kDetokenize,     // POST /detokenize
  kApplyTemplate,  // POST /apply-template
  kCheckGrammar,   // POST /grammar/check
  kParseOutput,    // POST /parse-output
  kModels,         // GET /v1/models; no body
  kModel,          // GET /v1/models/{id}; the body is the id itself
};

struct CallContext {
  std::string request_id;   // checked by the door; part of the reply's id
  std::string api_key_id;   // whose key it was; empty: no keys in use
  int64_t arrival_ns = 0;   // the serving clock's; 0: now
  int64_t deadline_ns = 0;  // the serving clock's; 0: none
  std::string prefill_peer; // HOST:PORT that is to compute the prompt; empty: here. The door has seen its signature
  // Runs tasks one after another in the order given, never inside the call of `post`. Callable from any thread; must not block.
  std::function<void(std::function<void()>)> post;
};

// Receives a call's answer, all of it through CallContext::post. Exactly one of OnReply, OnError, OnBroken and OnDone
// ends it, unless the call is cancelled.
class ReplySink {
 public:
  virtual ~ReplySink() = default;
  // The whole answer of a call without "stream".
  virtual void OnReply(std::string json) = 0;
  // One chunk of a stream; `json` is borrowed for the call. OnEvent: one that has a name.
  virtual void OnChunk(std::string_view json) = 0;
  virtual void OnEvent(std::string_view /*name*/, std::string_view json) { OnChunk(json); }
  // No more chunks for the moment: now is the time to write.
  virtual void OnFlush() {}
  // The stream is complete.
  virtual void OnDone() = 0;
  // The call failed, before or (for a stream) after chunks. Words and fields: status_mapping.h.
  virtual void OnError(const absl::Status& status) = 0;
  // The same of a stream whose last event has told it.
  virtual void OnBroken(const absl::Status& status) { OnError(status); }
};

// A call under way. Thread: any.
class ApiCall {
 public:
  virtual ~ApiCall() = default;
  // The client is gone or does not want more: the engine frees its blocks within one step. Idempotent. Called where the
  // answers arrive (inside a task of CallContext::post), no further one comes; elsewhere one may be under way.
  virtual void Cancel() = 0;
};

// The model, once it is loaded.
struct LoadedModel {
  std::unique_ptr<TokenSource> source;
  TextModel text;
  GenerationDefaults defaults;
  std::shared_ptr<const TokenVocabulary> vocabulary;  // shared with the grammars compiled for it; null without tokenizer
};

// Thread: any.
class Serving {
 public:
  Serving(ServingConfig config, const Clock* clock, RequestObserver* observer = nullptr);
  // The caller has stopped the doors and the engine: no call is under way.
  ~Serving();

  // The model can be used from now on. Once.
  void SetReady(LoadedModel model);
  // New calls are answered Unavailable from now on; those under way go on.
  void BeginDrain() { draining_ = true; }
  // What runs in the background comes no further: the engine is about to go. Idempotent.
  void StopBackground() { background_.Stop(); }

  bool loaded() const { return model_.load() != nullptr; }
  bool draining() const { return draining_; }
  bool ready() const { return loaded() && !draining(); }

  // Starts a call; the answer comes through `sink`, errors of the body included.
  std::shared_ptr<ApiCall> Start(ApiKind kind, std::string body, CallContext context, std::shared_ptr<ReplySink> sink);
  std::shared_ptr<ApiCall> Start(ApiKind kind, Json body, CallContext context, std::shared_ptr<ReplySink> sink);
  std::shared_ptr<ApiCall> Start(ApiKind kind, const char* body, CallContext context, std::shared_ptr<ReplySink> sink) {
    return Start(kind, std::string(body), std::move(context), std::move(sink));
  }

  // Chat and completion calls under way.
  int InFlight() const { return in_flight_; }

  const ServingConfig& config() const { return config_; }
  const Clock& clock() const { return *clock_; }
  RequestObserver& observer() const { return *observer_; }
  // Null while loading.
  const LoadedModel* model() const { return model_.load(); }
  GrammarCache& grammars() { return grammars_; }
  ResponseStore& responses() { return responses_; }

  // The body of GET /v1/models; Unavailable while loading.
  absl::StatusOr<std::string> ModelList() const;
  // The body of GET /v1/models/{id}; NotFound for a name that is not served.
  absl::StatusOr<std::string> ModelCard(std::string_view id) const;
  // Returns the name to answer with: `asked`, or the first one for an empty `asked`; NotFound when it is not served.
  absl::StatusOr<std::string> ServedName(std::string_view asked) const;

  // For calls: runs `task` on a text thread, false when the line is full; counts calls under way.
  bool PostText(std::function<void()> task) { return text_.Post(std::move(task)); }
  // The CallContext::post of calls that no door waits for.
  void PostBackground(std::function<void()> task) { background_.Post(std::move(task)); }
  void CountCall(int change) { in_flight_ += change; }

 private:
  absl::Status CheckReady() const;
  std::shared_ptr<ApiCall> StartCall(ApiKind kind, std::variant<std::string, Json> body, CallContext context,
                                     std::shared_ptr<ReplySink> sink);

  static constexpr size_t kMaxGrammars = 256;  // compiled ones, kept

  const ServingConfig config_;
  const Clock* const clock_;
  RequestObserver* const observer_;
  TextWorker background_;              // one thread; outlives the model's, which post to it
  std::unique_ptr<LoadedModel> owned_model_;
  std::atomic<const LoadedModel*> model_{nullptr};
  std::atomic<bool> draining_{false};
  std::atomic<int> in_flight_{0};
  GrammarCache grammars_{kMaxGrammars};
  ResponseStore responses_;
  TextWorker text_;
};

}  // namespace braid
