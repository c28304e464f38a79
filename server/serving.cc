#include "server/serving.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/openai/check_calls.h"
#include "server/openai/generate_call.h"
#include "server/openai/output_constraint.h"
#include "server/openai/pending_call.h"
#include "server/openai/text_calls.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr int kAnyNumber = std::numeric_limits<int>::max();  // of background tasks: a few a call, and the store bounds the calls

RequestObserver& NoObserver() {
  static RequestObserver none;
  return none;
}

absl::StatusOr<Json> ReadBody(std::variant<std::string, Json> body, const JsonLimits& limits) {
  if (auto* json = std::get_if<Json>(&body)) return std::move(*json);
  auto json = ParseJson(std::get<std::string>(body), limits);
  if (json.ok()) return json;
  return absl::InvalidArgumentError(absl::StrCat("the body is not valid JSON: ", json.status().message()));
}

bool Generates(ApiKind kind) {
  return kind == ApiKind::kChat || kind == ApiKind::kCompletion || kind == ApiKind::kResponses || kind == ApiKind::kMessages;
}

absl::StatusOr<std::string> AnswerText(const Serving& serving, ApiKind kind, const Json& body) {
  switch (kind) {
    case ApiKind::kTokenize: return Tokenize(serving, body);
    case ApiKind::kDetokenize: return Detokenize(serving, body);
    case ApiKind::kCountTokens: return CountTokens(serving, body);
    case ApiKind::kCheckGrammar: return CheckGrammar(body);
    case ApiKind::kParseOutput: return ParseOutputText(body);
    default: return serving.config().debug_endpoints && BringsOwnTemplate(body) ? RenderOwnTemplate(body) : ApplyTemplate(serving, body);
  }
}

void Answer(PendingCall& call, absl::StatusOr<std::string> reply) {
  if (reply.ok()) {
    call.Reply(*std::move(reply));
  } else {
    call.Fail(reply.status());
  }
}

Json Card(const Serving& serving, const std::string& name) {
  Json card;
  card["id"] = name;
  card["object"] = "model";
  card["created"] = serving.config().created_unix_s;
  card["owned_by"] = "braid";
  card["root"] = serving.config().model_root;
  card["parent"] = nullptr;
  card["max_model_len"] = serving.model()->source->info().max_model_len;
  Json permission;
  permission["id"] = absl::StrCat("modelperm-", name);
  permission["object"] = "model_permission";
  permission["created"] = serving.config().created_unix_s;
  permission["allow_create_engine"] = false;
  permission["allow_sampling"] = true;
  permission["allow_logprobs"] = true;
  permission["allow_search_indices"] = false;
  permission["allow_view"] = true;
  permission["allow_fine_tuning"] = false;
  permission["organization"] = "*";
  permission["group"] = nullptr;
  permission["is_blocking"] = false;
  card["permission"] = Json::array({std::move(permission)});
  return card;
}

using Body = std::variant<std::string, Json>;

// Runs on a text thread: reads the body and does what the call wants.
void RunCall(const Serving& serving, ApiKind kind, Body body, const std::shared_ptr<PendingCall>& call) {
  absl::StatusOr<Json> json = ReadBody(std::move(body), serving.config().limits.json);
  if (!json.ok()) return call->Fail(json.status());
  if (Generates(kind)) return static_cast<GenerateCall&>(*call).Run(*json);
  Answer(*call, AnswerText(serving, kind, *json));
}

}  // namespace

Serving::Serving(ServingConfig config, const Clock* clock, RequestObserver* observer)
    : config_(std::move(config)), clock_(clock), observer_(observer != nullptr ? observer : &NoObserver()),
      background_(1, kAnyNumber), responses_(config_.responses, clock), text_(config_.text_threads, config_.max_text_queue) {
  CHECK(!config_.served_names.empty());
}

Serving::~Serving() { StopBackground(); }

void Serving::SetReady(LoadedModel model) {
  CHECK(!loaded());
  if (model.text.tokenizer != nullptr && model.vocabulary == nullptr) {
    model.vocabulary = MakeTokenVocabulary(*model.text.tokenizer, model.source->info().eos_token_ids);
  }
  owned_model_ = std::make_unique<LoadedModel>(std::move(model));
  model_.store(owned_model_.get());
}

absl::Status Serving::CheckReady() const {
  if (!loaded()) return absl::UnavailableError("the model is loading");
  if (draining()) return absl::UnavailableError("the server is shutting down");
  return absl::OkStatus();
}

absl::StatusOr<std::string> Serving::ServedName(std::string_view asked) const {
  if (asked.empty()) return config_.served_names.front();
  for (const std::string& name : config_.served_names) {
    if (name == asked) return name;
  }
  return WithDetails(absl::NotFoundError(absl::StrCat("model: there is no model ", WriteJson(asked.substr(0, 200)), " here")), "model", "model_not_found");
}

absl::StatusOr<std::string> Serving::ModelList() const {
  if (!loaded()) return absl::UnavailableError("the model is loading");
  Json list;
  list["object"] = "list";
  list["data"] = Json::array();
  for (const std::string& name : config_.served_names) list["data"].push_back(Card(*this, name));
  return WriteJson(list);
}

absl::StatusOr<std::string> Serving::ModelCard(std::string_view id) const {
  if (!loaded()) return absl::UnavailableError("the model is loading");
  ASSIGN_OR_RETURN(const std::string name, ServedName(id));
  return WriteJson(Card(*this, name));
}

std::shared_ptr<ApiCall> Serving::Start(ApiKind kind, std::string body, CallContext context, std::shared_ptr<ReplySink> sink) {
  return StartCall(kind, std::move(body), std::move(context), std::move(sink));
}

std::shared_ptr<ApiCall> Serving::Start(ApiKind kind, Json body, CallContext context, std::shared_ptr<ReplySink> sink) {
  return StartCall(kind, std::move(body), std::move(context), std::move(sink));
}

std::shared_ptr<ApiCall> Serving::StartCall(ApiKind kind, Body body, CallContext context, std::shared_ptr<ReplySink> sink) {
  if (context.arrival_ns == 0) context.arrival_ns = clock_->NowNs();
  const absl::Status ready = CheckReady();
  const bool listing = kind == ApiKind::kModels || kind == ApiKind::kModel;
  if (!ready.ok() || listing) {
    auto call = std::make_shared<PendingCall>(this, std::move(context), std::move(sink));
    if (listing) {
      Answer(*call, kind == ApiKind::kModels ? ModelList() : ModelCard(std::get<std::string>(body)));
    } else {
      observer_->OnRejected(loaded() ? "draining" : "loading");
      call->Fail(ready);
    }
    return call;
  }
  std::shared_ptr<PendingCall> call;
  if (Generates(kind)) {
    call = std::make_shared<GenerateCall>(this, kind, std::move(context), std::move(sink));
  } else {
    call = std::make_shared<PendingCall>(this, std::move(context), std::move(sink));
  }
  auto shared_body = std::make_shared<Body>(std::move(body));  // a task must be copyable
  if (!PostText([this, kind, shared_body, call] { RunCall(*this, kind, std::move(*shared_body), call); })) {
    observer_->OnRejected("max_num_queued_reqs");
    call->Fail(absl::UnavailableError("too many requests are waiting for their prompts to be encoded"));
  }
  return call;
}

}  // namespace braid
