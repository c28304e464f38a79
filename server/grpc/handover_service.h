// braid.v1.Handover on an exporter. Every call is signed by a peer that knows the deployment's key; every answer proves
// that so does this process.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "engine/handover/exporter.h"
#include "proto/handover.grpc.pb.h"
#include "server/peer_key.h"

namespace braid {

// Names of the metadata, and what calls sign: the method's name and the request's bytes.
inline constexpr const char* kPeerSignature = "braid-peer-signature";
inline constexpr const char* kPeerProof = "braid-peer-proof";
inline constexpr const char* kSignPrefill = "prefill";
inline constexpr const char* kSignFetch = "fetch";
inline constexpr const char* kSignRelease = "release";

inline constexpr size_t kMaxPartBytes = 1 << 20;

// Thread: gRPC's own; answers to prompts come on the engine's.
class HandoverService final : public v1::Handover::CallbackService {
 public:
  explicit HandoverService(std::shared_ptr<PeerKey> key) : key_(std::move(key)) {}

  // From now on there are prompts to be had; before, calls are answered UNAVAILABLE. Outlives the server's last call.
  void SetExporter(Exporter* exporter) { exporter_ = exporter; }

 private:
  using Context = grpc::CallbackServerContext;
  grpc::ServerUnaryReactor* Prefill(Context*, const v1::PrefillRequest*, v1::PrefillReply*) override;
  grpc::ServerWriteReactor<v1::ImagePart>* Fetch(Context*, const v1::FetchRequest*) override;
  grpc::ServerUnaryReactor* Release(Context*, const v1::ReleaseRequest*, v1::ReleaseReply*) override;

  // The exporter, for a caller who may use it.
  absl::StatusOr<Exporter*> Admit(const Context& context, const char* purpose, const google::protobuf::Message& request);

  const std::shared_ptr<PeerKey> key_;
  std::atomic<Exporter*> exporter_{nullptr};
};

}  // namespace braid
