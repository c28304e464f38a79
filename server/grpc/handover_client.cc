#include "server/grpc/handover_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "proto/handover.grpc.pb.h"
#include "server/grpc/handover_messages.h"
#include "server/grpc/handover_service.h"

namespace braid {
namespace {

constexpr int kKeepaliveMs = 10'000, kKeepaliveTimeoutMs = 5'000;  // a peer that is gone without a word is found by then
constexpr int kReconnectMs = 2'000;                                // at the latest
constexpr int kMaxMessage = static_cast<int>(kMaxPartBytes) + (64 << 10);
constexpr std::chrono::seconds kSlack{5};                          // beyond the time that the other side gives itself
constexpr std::chrono::seconds kFetchLimit{600}, kReleaseLimit{10};

absl::Status StatusOf(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

// Each has a connection of its own.
std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // a long prompt is a long silence
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMs);
  // Whole parts in flight, in few frames (handover_bench).
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 4 * static_cast<int>(kMaxPartBytes));
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, static_cast<int>(kMaxPartBytes));
  arguments.SetMaxReceiveMessageSize(kMaxMessage);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void SetLimit(grpc::ClientContext& context, std::chrono::milliseconds limit) {
  context.set_deadline(std::chrono::system_clock::now() + limit);
}

// A unary call; lives until it is answered, and as long as somebody may call it off.
template <class Request, class Reply>
struct UnaryCall {
  grpc::ClientContext context;
  Request request;
  Reply reply;
  std::string signature;

  void Sign(const PeerKey& key, const char* purpose) {
    signature = key.Sign(purpose, request.SerializeAsString());
    context.AddMetadata(kPeerSignature, signature);
  }
};

// An answer counts when its sender knows the key.
absl::StatusOr<PrefillOffer> OfferOf(const UnaryCall<v1::PrefillRequest, v1::PrefillReply>& call, const PeerKey& key,
                                     const grpc::Status& status) {
  if (!status.ok()) return StatusOf(status);
  const auto& metadata = call.context.GetServerTrailingMetadata();
  const auto proof = metadata.find(kPeerProof);
  const std::string shown = proof == metadata.end() ? "" : std::string(proof->second.data(), proof->second.size());
  const absl::Status known = key.CheckProof(call.signature, call.reply.SerializeAsString(), shown);
  if (!known.ok()) return known;
  return ReadOffer(call.reply);
}

// An image on its way. Deletes itself when gRPC is done with it.
class FetchReader final : public grpc::ClientReadReactor<v1::ImagePart> {
 public:
  FetchReader(std::shared_ptr<grpc::ClientContext> context, HandoverPeer::OnPart part, std::function<void(absl::Status)> done)
      : context_(std::move(context)), on_part_(std::move(part)), done_(std::move(done)) {}

  void Start(v1::Handover::Stub* stub, const v1::FetchRequest& request) {
    request_ = request;
    stub->async()->Fetch(context_.get(), &request_, this);
    StartRead(&part_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    refusal_.Update(on_part_(part_.offset(), part_.data(), part_.checksum()));
    if (!refusal_.ok()) return context_->TryCancel();
    StartRead(&part_);
  }
  void OnDone(const grpc::Status& status) override {
    const absl::Status end = refusal_.ok() ? StatusOf(status) : refusal_;
    on_part_ = nullptr;
    std::exchange(done_, nullptr)(end);
    delete this;
  }

  const std::shared_ptr<grpc::ClientContext> context_;  // shared with who may call it off
  HandoverPeer::OnPart on_part_;
  std::function<void(absl::Status)> done_;
  v1::FetchRequest request_;
  v1::ImagePart part_;
  absl::Status refusal_;
};

class GrpcPeer final : public HandoverPeer {
 public:
  GrpcPeer(const std::string& address, std::shared_ptr<PeerKey> key)
      : key_(std::move(key)),
        stub_(v1::Handover::NewStub(ChannelTo(address))),
        bulk_(v1::Handover::NewStub(ChannelTo(address))) {}

  CallOff Prefill(const PrefillCall& call, std::function<void(absl::StatusOr<PrefillOffer>)> done) override {
    auto rpc = std::make_shared<UnaryCall<v1::PrefillRequest, v1::PrefillReply>>();
    WriteCall(call, &rpc->request);
    rpc->Sign(*key_, kSignPrefill);
    if (call.timeout_ms > 0) SetLimit(rpc->context, std::chrono::milliseconds(call.timeout_ms) + kSlack);
    stub_->async()->Prefill(&rpc->context, &rpc->request, &rpc->reply, [rpc, key = key_, done](const grpc::Status& status) {
      done(OfferOf(*rpc, *key, status));
    });
    return [rpc] { rpc->context.TryCancel(); };
  }

  CallOff Fetch(const OfferName& offer, OnPart part, std::function<void(absl::Status)> done) override {
    auto context = std::make_shared<grpc::ClientContext>();
    v1::FetchRequest request;
    WriteName(offer, request.mutable_offer());
    context->AddMetadata(kPeerSignature, key_->Sign(kSignFetch, request.SerializeAsString()));
    SetLimit(*context, kFetchLimit);
    (new FetchReader(context, std::move(part), std::move(done)))->Start(bulk_.get(), request);
    return [context] { context->TryCancel(); };
  }

  void Release(const OfferName& offer) override {
    auto rpc = std::make_shared<UnaryCall<v1::ReleaseRequest, v1::ReleaseReply>>();
    WriteName(offer, rpc->request.mutable_offer());
    rpc->Sign(*key_, kSignRelease);
    SetLimit(rpc->context, kReleaseLimit);
    bulk_->async()->Release(&rpc->context, &rpc->request, &rpc->reply, [rpc](const grpc::Status&) {});
  }

 private:
  const std::shared_ptr<PeerKey> key_;
  const std::unique_ptr<v1::Handover::Stub> stub_;
  // Fetches and releases make room for prompts: they never wait behind them for one of the connection's streams.
  const std::unique_ptr<v1::Handover::Stub> bulk_;
};

}  // namespace

std::shared_ptr<HandoverPeer> PeerDirectory::At(const std::string& address) {
  std::lock_guard lock(mutex_);
  const auto found = peers_.find(address);
  if (found != peers_.end()) return found->second;
  if (peers_.size() >= kMaxPeers) peers_.erase(peers_.begin());
  return peers_[address] = std::make_shared<GrpcPeer>(address, key_);
}

}  // namespace braid
