// What all calls have in common: the way back to the client, and its end.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "server/serving.h"

namespace braid {

// Shared: the door, the text thread, posted tasks and the engine's event hook hold it until it is over.
// Thread: any, but for what is said of single functions.
class PendingCall : public ApiCall, public std::enable_shared_from_this<PendingCall> {
 public:
  PendingCall(const Serving* serving, CallContext context, std::shared_ptr<ReplySink> sink);

  void Cancel() final;

  // Ends the call with an answer; silent when it is over.
  void Reply(std::string json);
  void Fail(absl::Status status);

 protected:
  // Runs `task` where answers arrive, with the sink, unless the call is over by then.
  void Post(std::function<void(ReplySink&)> task);

  // Ends the call: true for the one caller who did it. No post and no sink call of ours begins after it.
  bool End();
  bool over();

  // Called once after the call has ended, by whoever ended it. `cancelled`: by the client.
  virtual void OnEnd(bool /*cancelled*/) {}

  const Serving& serving() const { return *serving_; }
  const CallContext& context() const { return context_; }

 private:
  const Serving* const serving_;
  CallContext context_;
  std::mutex mutex_;
  bool over_ = false;                 // guarded by mutex_, as are the two below
  std::function<void(std::function<void()>)> post_;
  std::shared_ptr<ReplySink> sink_;   // shared with the door, which answers through it
};

}  // namespace braid
