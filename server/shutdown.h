// The signals that end the daemon.
#pragma once

#include <atomic>

namespace braid {

// Takes SIGTERM and SIGINT as a request to drain. Make it before any thread starts: threads inherit the mask.
class ShutdownSignal {
 public:
  // Blocks the two signals and ignores SIGPIPE.
  ShutdownSignal();

  // Returns when the first signal has come, or Wake was called. The next signal then ends the process at once.
  void Wait();

  // Ends Wait without a signal. Thread: any.
  void Wake() { woken_ = true; }
  bool woken() const { return woken_; }

 private:
  std::atomic<bool> woken_{false};
};

}  // namespace braid
