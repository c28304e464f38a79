#include "server/grpc/call_thread.h"

#include <utility>

namespace braid {

CallThread::~CallThread() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  arrived_.notify_one();
  thread_.join();
}

void CallThread::Post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  arrived_.notify_one();
}

void CallThread::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    arrived_.wait(lock, [&] { return stop_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what it held may die here, not under the lock
    lock.lock();
  }
}

CallThreads::CallThreads(int count) {
  for (int i = 0; i < count; ++i) threads_.push_back(std::make_unique<CallThread>());
}

}  // namespace braid
