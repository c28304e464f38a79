// Threads that render templates and encode prompts, so that io threads never wait for either.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace braid {

// A bounded line of tasks and the threads that do them. Thread: any.
class TextWorker {
 public:
  TextWorker(int threads, int max_queue);
  ~TextWorker() { Stop(); }
  TextWorker(const TextWorker&) = delete;

  // Queues `task`; false when the line is full or stopped.
  bool Post(std::function<void()> task);

  // Drops what waits and joins the threads. Idempotent; one caller at a time, and none of its own threads.
  void Stop();

 private:
  void Work();

  const size_t max_queue_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::function<void()>> tasks_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace braid
