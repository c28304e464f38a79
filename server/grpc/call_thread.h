// A thread that runs tasks one after another: where one gRPC call's answers, writes and cancellation meet.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace braid {

// Thread: any.
class CallThread {
 public:
  CallThread() : thread_([this] { Work(); }) {}
  // Does what is still waiting, then ends.
  ~CallThread();
  CallThread(const CallThread&) = delete;

  void Post(std::function<void()> task);

 private:
  void Work();

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> tasks_;
  bool stop_ = false;
  std::thread thread_;
};

// Hands out its threads in turn.
class CallThreads {
 public:
  explicit CallThreads(int count);
  CallThread& Next() { return *threads_[turn_++ % threads_.size()]; }

 private:
  std::vector<std::unique_ptr<CallThread>> threads_;
  std::atomic<size_t> turn_{0};
};

}  // namespace braid
