// One gRPC call on the serving core. A reactor and its sink are two objects: both bases have an OnDone of their own.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/grpc/call_thread.h"
#include "server/grpc/json_message.h"
#include "server/serving.h"

namespace braid {

// The absl codes are gRPC's.
inline grpc::Status GrpcStatusOf(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

inline grpc::Status Cancelled() { return grpc::Status(grpc::StatusCode::CANCELLED, "the client went away"); }

// Reads a body that the serving core wrote into `message`; Internal when it does not fit.
absl::Status ReadReply(std::string_view json, google::protobuf::Message* message);

// What a call begins with.
struct RpcStart {
  Serving* serving;
  CallThread* thread;
  ApiKind kind;
  Json body;
  CallContext context;  // `post` is filled in here
};

// Forwards the answers of the serving core to the reactor.
template <class Rpc>
class RpcSink final : public ReplySink {
 public:
  explicit RpcSink(std::shared_ptr<Rpc> rpc) : rpc_(std::move(rpc)) {}
  void OnReply(std::string json) override { rpc_->TakeReply(json); }
  void OnChunk(std::string_view json) override { rpc_->TakeChunk(json); }
  void OnDone() override { rpc_->TakeEnd(grpc::Status::OK); }
  void OnError(const absl::Status& status) override { rpc_->TakeEnd(GrpcStatusOf(status)); }

 private:
  const std::shared_ptr<Rpc> rpc_;
};

// Puts the start of `rpc` on its thread and returns it for gRPC.
template <class Rpc>
Rpc* BeginRpc(std::shared_ptr<Rpc> rpc, RpcStart start) {
  rpc->self = rpc;
  CallThread* const thread = start.thread;
  start.context.post = [thread](std::function<void()> task) { thread->Post(std::move(task)); };
  thread->Post([rpc, start = std::move(start)]() mutable {
    if (rpc->ended()) return;
    rpc->call = start.serving->Start(start.kind, std::move(start.body), std::move(start.context),
                                     std::make_shared<RpcSink<Rpc>>(rpc));
  });
  return rpc.get();
}

// A call with one reply. Members belong to the call's thread; gRPC's reactions only post to it.
template <class Reply>
class UnaryRpc final : public grpc::ServerUnaryReactor, public std::enable_shared_from_this<UnaryRpc<Reply>> {
 public:
  // `reply` is gRPC's and lives until the call's end.
  UnaryRpc(CallThread* thread, Reply* reply) : thread_(thread), reply_(reply) {}

  void TakeReply(std::string_view json) {
    if (!ended_) TakeEnd(GrpcStatusOf(ReadReply(json, reply_)));
  }
  void TakeChunk(std::string_view) { TakeEnd(grpc::Status(grpc::StatusCode::INTERNAL, "a stream nobody asked for")); }
  void TakeEnd(const grpc::Status& status) {
    if (std::exchange(ended_, true)) return;
    call = nullptr;
    this->Finish(status);
  }
  bool ended() const { return ended_; }

  std::shared_ptr<UnaryRpc> self;  // until gRPC is done
  std::shared_ptr<ApiCall> call;

 private:
  void OnCancel() override {
    thread_->Post([rpc = this->shared_from_this()] {
      if (rpc->call != nullptr) rpc->call->Cancel();
      rpc->TakeEnd(Cancelled());
    });
  }
  void OnDone() override { self.reset(); }

  CallThread* const thread_;
  Reply* const reply_;
  bool ended_ = false;
};

// A call with a stream of chunks: writes one at a time and holds what comes meanwhile. A client that leaves
// kMaxUnread bytes for kUnreadLimit, or kMaxPending at all, is cut off.
template <class Chunk>
class StreamRpc final : public grpc::ServerWriteReactor<Chunk>, public std::enable_shared_from_this<StreamRpc<Chunk>> {
 public:
  static constexpr size_t kMaxUnread = 256 << 10;
  static constexpr size_t kMaxPending = 8 << 20;
  static constexpr std::chrono::seconds kUnreadLimit{30};

  explicit StreamRpc(CallThread* thread) : thread_(thread) {}

  void TakeReply(std::string_view) { Abandon(grpc::Status(grpc::StatusCode::INTERNAL, "no stream where one was asked for")); }
  void TakeChunk(std::string_view json) {
    if (end_.has_value()) return;
    Chunk chunk;
    const absl::Status read = ReadReply(json, &chunk);
    if (!read.ok()) return Abandon(GrpcStatusOf(read));
    pending_bytes_ += chunk.ByteSizeLong();
    pending_.push_back(std::move(chunk));
    if (ReaderIsGone()) return Abandon(grpc::Status(grpc::StatusCode::CANCELLED, "the client does not read"));
    WriteNext();
  }
  void TakeEnd(const grpc::Status& status) {
    if (end_.has_value()) return;
    end_ = status;
    call = nullptr;
    WriteNext();
  }
  bool ended() const { return end_.has_value(); }

  std::shared_ptr<StreamRpc> self;  // until gRPC is done
  std::shared_ptr<ApiCall> call;

 private:
  void OnWriteDone(bool ok) override {
    thread_->Post([rpc = this->shared_from_this(), ok] {
      rpc->writing_ = false;
      if (!ok) rpc->Abandon(Cancelled());
      rpc->WriteNext();
    });
  }
  void OnCancel() override {
    thread_->Post([rpc = this->shared_from_this()] { rpc->Abandon(Cancelled()); });
  }
  void OnDone() override { self.reset(); }

  bool ReaderIsGone() {
    const auto now = std::chrono::steady_clock::now();
    if (pending_bytes_ <= kMaxUnread) unread_since_ = now;
    return pending_bytes_ > kMaxPending || now - unread_since_ > kUnreadLimit;
  }

  // Ends the call without what is still pending.
  void Abandon(const grpc::Status& status) {
    if (call != nullptr) call->Cancel();
    pending_.clear();
    pending_bytes_ = 0;
    TakeEnd(status);
  }

  void WriteNext() {
    if (writing_ || finished_) return;
    if (!pending_.empty()) {
      writing_ = true;
      writing_chunk_ = std::move(pending_.front());
      pending_.pop_front();
      pending_bytes_ -= writing_chunk_.ByteSizeLong();
      this->StartWrite(&writing_chunk_);
    } else if (end_.has_value()) {
      finished_ = true;
      this->Finish(*end_);
    }
  }

  CallThread* const thread_;
  std::deque<Chunk> pending_;
  size_t pending_bytes_ = 0;
  std::chrono::steady_clock::time_point unread_since_ = std::chrono::steady_clock::now();
  Chunk writing_chunk_;
  bool writing_ = false;
  bool finished_ = false;
  std::optional<grpc::Status> end_;
};

}  // namespace braid
