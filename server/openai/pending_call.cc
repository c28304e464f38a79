#include "server/openai/pending_call.h"

#include <utility>

namespace braid {

PendingCall::PendingCall(const Serving* serving, CallContext context, std::shared_ptr<ReplySink> sink)
    : serving_(serving), context_(std::move(context)), post_(std::exchange(context_.post, nullptr)), sink_(std::move(sink)) {}

bool PendingCall::over() {
  std::lock_guard lock(mutex_);
  return over_;
}

bool PendingCall::End() {
  // What they hold may refer back to us: it dies outside the lock.
  std::function<void(std::function<void()>)> post;
  std::shared_ptr<ReplySink> sink;
  std::lock_guard lock(mutex_);
  if (over_) return false;
  over_ = true;
  post.swap(post_);
  sink.swap(sink_);
  return true;
}

void PendingCall::Cancel() {
  const auto self = shared_from_this();
  if (End()) OnEnd(true);
}

void PendingCall::Post(std::function<void(ReplySink&)> task) {
  std::lock_guard lock(mutex_);
  if (over_) return;
  post_([self = shared_from_this(), task = std::move(task)] {
    std::shared_ptr<ReplySink> sink;
    {
      std::lock_guard inner(self->mutex_);
      sink = self->sink_;
    }
    if (sink != nullptr) task(*sink);
  });
}

void PendingCall::Reply(std::string json) {
  Post([this, json = std::move(json)](ReplySink& sink) mutable {
    if (!End()) return;
    sink.OnReply(std::move(json));
    OnEnd(false);
  });
}

void PendingCall::Fail(absl::Status status) {
  Post([this, status = std::move(status)](ReplySink& sink) {
    if (!End()) return;
    sink.OnError(status);
    OnEnd(false);
  });
}

}  // namespace braid
