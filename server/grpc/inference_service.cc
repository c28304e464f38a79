#include "server/grpc/inference_service.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/fresh_id.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

constexpr size_t kMaxRequestId = 128;

std::string MetadataOf(const grpc::CallbackServerContext& context, const char* name) {
  const auto it = context.client_metadata().find(name);
  return it == context.client_metadata().end() ? "" : std::string(it->second.data(), it->second.size());
}

std::string RequestIdOf(const grpc::CallbackServerContext& context) {
  const std::string id = MetadataOf(context, "x-request-id");
  const bool good = !id.empty() && id.size() <= kMaxRequestId && std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
  });
  return good ? id : FreshHexId(32);
}

// The call's deadline on the serving clock; 0: none.
int64_t DeadlineNs(const grpc::CallbackServerContext& context, const Clock& clock) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return 0;
  const double left_ns = std::chrono::duration<double, std::nano>(deadline - std::chrono::system_clock::now()).count();
  if (left_ns > 1e18) return 0;
  return std::max<int64_t>(1, clock.NowNs() + static_cast<int64_t>(left_ns));
}

// HTTP's `prompt` is texts or ids; protobuf has a field for each.
absl::Status MergePrompt(Json& body) {
  const auto ids = body.find("prompt_token_ids");
  if (ids == body.end()) return absl::OkStatus();
  if (body.contains("prompt")) return InvalidParam("prompt", "prompt and prompt_token_ids exclude each other");
  Json prompt = Json::array();
  for (const Json& list : *ids) prompt.push_back(list.contains("ids") ? list["ids"] : Json::array());
  body.erase("prompt_token_ids");
  body["prompt"] = std::move(prompt);
  return absl::OkStatus();
}

// A call that ended before it began.
template <class Reactor>
class Refusal final : public Reactor {
 public:
  explicit Refusal(const absl::Status& status) { this->Finish(GrpcStatusOf(status)); }

 private:
  void OnDone() override { delete this; }
};

}  // namespace

absl::Status ReadReply(std::string_view json, google::protobuf::Message* message) {
  const auto body = ParseJson(json, {.max_members = std::numeric_limits<size_t>::max()});
  const absl::Status status = body.ok() ? FillMessage(*body, message) : body.status();
  return status.ok() ? status : absl::InternalError(absl::StrCat("a reply that is no message: ", status.message()));
}

absl::StatusOr<std::string> InferenceService::Authenticate(const Context& context) const {
  if (keys_->open()) return std::string();
  const auto identity = keys_->IdentifyBearer(MetadataOf(context, "authorization"));
  if (identity.has_value()) return *identity;
  return absl::UnauthenticatedError("no key, or an unknown one, in the metadata `authorization`: Bearer KEY");
}

absl::StatusOr<RpcStart> InferenceService::StartOf(const Context& context, ApiKind kind,
                                                   const google::protobuf::Message& request, bool stream) {
  RpcStart start{.serving = serving_, .thread = &threads_.Next(), .kind = kind, .body = Json(), .context = {}};
  ASSIGN_OR_RETURN(start.context.api_key_id, Authenticate(context));
  ASSIGN_OR_RETURN(start.body, JsonOfMessage(request));
  if (kind == ApiKind::kCompletion) RETURN_IF_ERROR(MergePrompt(start.body));
  if (stream) start.body["stream"] = true;
  start.context.request_id = RequestIdOf(context);
  start.context.arrival_ns = serving_->clock().NowNs();
  start.context.deadline_ns = DeadlineNs(context, serving_->clock());
  return start;
}

template <class Reply>
grpc::ServerUnaryReactor* InferenceService::Unary(Context* context, ApiKind kind,
                                                  const google::protobuf::Message& request, Reply* reply) {
  auto start = StartOf(*context, kind, request, /*stream=*/false);
  if (!start.ok()) return new Refusal<grpc::ServerUnaryReactor>(start.status());
  return BeginRpc(std::make_shared<UnaryRpc<Reply>>(start->thread, reply), *std::move(start));
}

template <class Chunk>
grpc::ServerWriteReactor<Chunk>* InferenceService::Stream(Context* context, ApiKind kind,
                                                          const google::protobuf::Message& request) {
  auto start = StartOf(*context, kind, request, /*stream=*/true);
  if (!start.ok()) return new Refusal<grpc::ServerWriteReactor<Chunk>>(start.status());
  return BeginRpc(std::make_shared<StreamRpc<Chunk>>(start->thread), *std::move(start));
}

grpc::ServerUnaryReactor* InferenceService::Chat(Context* context, const v1::ChatRequest* request, v1::ChatReply* reply) {
  return Unary(context, ApiKind::kChat, *request, reply);
}
grpc::ServerWriteReactor<v1::ChatChunk>* InferenceService::ChatStream(Context* context, const v1::ChatRequest* request) {
  return Stream<v1::ChatChunk>(context, ApiKind::kChat, *request);
}
grpc::ServerUnaryReactor* InferenceService::Complete(Context* context, const v1::CompleteRequest* request,
                                                     v1::CompleteReply* reply) {
  return Unary(context, ApiKind::kCompletion, *request, reply);
}
grpc::ServerWriteReactor<v1::CompleteReply>* InferenceService::CompleteStream(Context* context,
                                                                              const v1::CompleteRequest* request) {
  return Stream<v1::CompleteReply>(context, ApiKind::kCompletion, *request);
}
grpc::ServerUnaryReactor* InferenceService::Tokenize(Context* context, const v1::TokenizeRequest* request,
                                                     v1::TokenizeReply* reply) {
  return Unary(context, ApiKind::kTokenize, *request, reply);
}
grpc::ServerUnaryReactor* InferenceService::Detokenize(Context* context, const v1::DetokenizeRequest* request,
                                                       v1::DetokenizeReply* reply) {
  return Unary(context, ApiKind::kDetokenize, *request, reply);
}
grpc::ServerUnaryReactor* InferenceService::Models(Context* context, const v1::ModelsRequest* request,
                                                   v1::ModelsReply* reply) {
  return Unary(context, ApiKind::kModels, *request, reply);
}

}  // namespace braid
