#include "server/grpc/handover_service.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "engine/handover/image_receiver.h"
#include "kernels/base/errors.h"
#include "server/grpc/handover_messages.h"
#include "server/grpc/rpc.h"

namespace braid {
namespace {

std::string MetadataOf(const grpc::CallbackServerContext& context, const char* name) {
  const auto it = context.client_metadata().find(name);
  return it == context.client_metadata().end() ? "" : std::string(it->second.data(), it->second.size());
}

// A prompt under way. Kept by itself until gRPC is done, and by the engine until it answers.
class PrefillRpc final : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<PrefillRpc> {
 public:
  PrefillRpc(Exporter* exporter, grpc::CallbackServerContext* context, v1::PrefillReply* reply)
      : exporter_(exporter), context_(context), reply_(reply) {}

  void Start(const PeerKey* key, const v1::PrefillRequest& request) {
    self_ = shared_from_this();
    key_ = key;
    signature_ = MetadataOf(*context_, kPeerSignature);
    auto call = ReadCall(request);
    if (!call.ok()) return Finish(GrpcStatusOf(call.status()));
    const auto handle = exporter_->Prefill(*call, [rpc = self_](auto offer) { rpc->Answer(std::move(offer)); });
    if (!handle.ok()) return Finish(GrpcStatusOf(handle.status()));
    std::lock_guard lock(mutex_);
    handle_ = *handle;
    if (gone_) exporter_->Cancel(*handle);
  }

 private:
  // Thread: engine.
  void Answer(absl::StatusOr<PrefillOffer> offer) {
    bool gone;
    {
      std::lock_guard lock(mutex_);
      gone = gone_;
    }
    if (!offer.ok()) return Finish(GrpcStatusOf(offer.status()));
    if (gone) {  // nobody will fetch it
      exporter_->offers().Release(offer->name).IgnoreError();
      return Finish(Cancelled());
    }
    offered_ = offer->name;
    WriteOffer(*offer, reply_);
    context_->AddTrailingMetadata(kPeerProof, key_->Proof(signature_, reply_->SerializeAsString()));
    Finish(grpc::Status::OK);
  }

  void OnCancel() override {
    std::lock_guard lock(mutex_);
    gone_ = true;
    if (handle_.has_value()) exporter_->Cancel(*handle_);
  }
  // Nobody will fetch an offer whose reply did not get through.
  void OnDone() override {
    if (!offered_.id.empty() && context_->IsCancelled()) exporter_->offers().Release(offered_).IgnoreError();
    self_.reset();
  }

  Exporter* const exporter_;
  grpc::CallbackServerContext* const context_;
  v1::PrefillReply* const reply_;
  OfferName offered_;
  const PeerKey* key_ = nullptr;
  std::string signature_;
  std::shared_ptr<PrefillRpc> self_;
  std::mutex mutex_;
  std::optional<RequestHandle> handle_;
  bool gone_ = false;
};

// An image on its way, part by part; the parts of a piece are copied out one piece at a time.
class FetchRpc final : public grpc::ServerWriteReactor<v1::ImagePart> {
 public:
  FetchRpc(OfferTable* offers, grpc::CallbackServerContext* context) : offers_(offers), line_(std::make_shared<Line>()) {
    line_->context = context;
  }

  void Start(const v1::FetchRequest& request) {
    const auto name = ReadName(request.offer());
    if (!name.ok()) return Finish(GrpcStatusOf(name.status()));
    auto held = offers_->Open(*name, [line = line_] { line->Cut(); });
    if (!held.ok()) return Finish(GrpcStatusOf(held.status()));
    held_ = *std::move(held);
    WriteNext();
  }

 private:
  // The call's context while there is one: a lease that ends cuts the transfer.
  struct Line {
    std::mutex mutex;
    grpc::CallbackServerContext* context = nullptr;
    void Cut() {
      std::lock_guard lock(mutex);
      if (context != nullptr) context->TryCancel();
    }
  };

  void WriteNext() {
    if (sent_ == piece_.size() && !ReadPiece()) return Finish(grpc::Status::OK);
    const size_t size = std::min(kMaxPartBytes, piece_.size() - sent_);
    part_.set_offset(offset_);
    part_.set_data(piece_.data() + sent_, size);
    part_.set_checksum(PartChecksum(part_.data()));
    sent_ += size;
    offset_ += static_cast<int64_t>(size);
    StartWrite(&part_);
  }

  // False at the end of the image.
  bool ReadPiece() {
    const SequenceLayout& layout = held_->layout();
    const int32_t computed = held_->num_computed();
    if (next_piece_ == layout.NumPieces(computed)) return false;
    piece_.resize(static_cast<size_t>(layout.PieceBytes(next_piece_, computed)));
    held_->Read(next_piece_++, reinterpret_cast<std::byte*>(piece_.data()));
    sent_ = 0;
    return true;
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(Cancelled());
    offers_->CountRead(static_cast<int64_t>(part_.data().size()));
    WriteNext();
  }
  void OnDone() override {
    {
      std::lock_guard lock(line_->mutex);
      line_->context = nullptr;
    }
    delete this;
  }

  OfferTable* const offers_;
  const std::shared_ptr<Line> line_;  // shared with the offer
  std::shared_ptr<const HeldPrompt> held_;
  std::string piece_;
  size_t sent_ = 0;     // of the piece
  int next_piece_ = 0;
  int64_t offset_ = 0;  // in the image
  v1::ImagePart part_;
};

class Refusal final : public grpc::ServerWriteReactor<v1::ImagePart> {
 public:
  explicit Refusal(const absl::Status& status) { Finish(GrpcStatusOf(status)); }

 private:
  void OnDone() override { delete this; }
};

grpc::ServerUnaryReactor* AnswerAtOnce(grpc::CallbackServerContext* context, const absl::Status& status) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  reactor->Finish(GrpcStatusOf(status));
  return reactor;
}

}  // namespace

absl::StatusOr<Exporter*> HandoverService::Admit(const Context& context, const char* purpose,
                                                 const google::protobuf::Message& request) {
  RETURN_IF_ERROR(key_->Verify(purpose, request.SerializeAsString(), MetadataOf(context, kPeerSignature)));
  Exporter* const exporter = exporter_;
  if (exporter == nullptr) return absl::UnavailableError("the model is loading");
  return exporter;
}

grpc::ServerUnaryReactor* HandoverService::Prefill(Context* context, const v1::PrefillRequest* request,
                                                   v1::PrefillReply* reply) {
  const auto exporter = Admit(*context, kSignPrefill, *request);
  if (!exporter.ok()) return AnswerAtOnce(context, exporter.status());
  const auto rpc = std::make_shared<PrefillRpc>(*exporter, context, reply);
  rpc->Start(key_.get(), *request);
  return rpc.get();
}

grpc::ServerWriteReactor<v1::ImagePart>* HandoverService::Fetch(Context* context, const v1::FetchRequest* request) {
  const auto exporter = Admit(*context, kSignFetch, *request);
  if (!exporter.ok()) return new Refusal(exporter.status());
  auto* const rpc = new FetchRpc(&(*exporter)->offers(), context);
  rpc->Start(*request);
  return rpc;
}

grpc::ServerUnaryReactor* HandoverService::Release(Context* context, const v1::ReleaseRequest* request, v1::ReleaseReply*) {
  const auto exporter = Admit(*context, kSignRelease, *request);
  if (!exporter.ok()) return AnswerAtOnce(context, exporter.status());
  const auto name = ReadName(request->offer());
  return AnswerAtOnce(context, name.ok() ? (*exporter)->offers().Release(*name) : name.status());
}

}  // namespace braid
