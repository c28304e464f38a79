// braid.v1.Inference on the serving core: each message becomes the HTTP route's body, each answer a message again.
#pragma once

#include <functional>
#include <string>

#include "proto/inference.grpc.pb.h"
#include "server/grpc/call_thread.h"
#include "server/grpc/rpc.h"
#include "server/http/api_keys.h"
#include "server/serving.h"

namespace braid {

// Thread: gRPC's own call in, everything else happens on the call's thread.
class InferenceService final : public v1::Inference::CallbackService {
 public:
  static constexpr const char* kName = "braid.v1.Inference";

  // Borrows both; they outlive the service.
  InferenceService(Serving* serving, const ApiKeys* keys, int threads)
      : serving_(serving), keys_(keys), threads_(threads) {}

 private:
  using Context = grpc::CallbackServerContext;

  grpc::ServerUnaryReactor* Chat(Context*, const v1::ChatRequest*, v1::ChatReply*) override;
  grpc::ServerWriteReactor<v1::ChatChunk>* ChatStream(Context*, const v1::ChatRequest*) override;
  grpc::ServerUnaryReactor* Complete(Context*, const v1::CompleteRequest*, v1::CompleteReply*) override;
  grpc::ServerWriteReactor<v1::CompleteReply>* CompleteStream(Context*, const v1::CompleteRequest*) override;
  grpc::ServerUnaryReactor* Tokenize(Context*, const v1::TokenizeRequest*, v1::TokenizeReply*) override;
  grpc::ServerUnaryReactor* Detokenize(Context*, const v1::DetokenizeRequest*, v1::DetokenizeReply*) override;
  grpc::ServerUnaryReactor* Models(Context*, const v1::ModelsRequest*, v1::ModelsReply*) override;

  // The key's identity, or Unauthenticated.
  absl::StatusOr<std::string> Authenticate(const Context& context) const;
  absl::StatusOr<RpcStart> StartOf(const Context& context, ApiKind kind, const google::protobuf::Message& request,
                                   bool stream);
  template <class Reply>
  grpc::ServerUnaryReactor* Unary(Context* context, ApiKind kind, const google::protobuf::Message& request, Reply* reply);
  template <class Chunk>
  grpc::ServerWriteReactor<Chunk>* Stream(Context* context, ApiKind kind, const google::protobuf::Message& request);

  Serving* const serving_;
  const ApiKeys* const keys_;
  CallThreads threads_;
};

}  // namespace braid
