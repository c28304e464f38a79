// Bounded queue between threads. A full queue is an answer, not a wait.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace braid {

enum class PutResult { kPut, kFull, kClosed };

// Many producers, one consumer. Thread: any.
template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // Adds `item` unless the queue is full or closed.
  PutResult Put(T item) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) return PutResult::kClosed;
      if (items_.size() >= capacity_) return PutResult::kFull;
      items_.push_back(std::move(item));
    }
    arrived_.notify_one();
    return PutResult::kPut;
  }

  // Takes everything that is there now; empty when nothing is.
  std::vector<T> TakeAll() {
    std::lock_guard lock(mutex_);
    return std::exchange(items_, {});
  }

  // Waits until something arrives or the queue is closed.
  void Wait() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return closed_ || !items_.empty(); });
  }

  // Waits as Wait does, but at most `limit`.
  void WaitFor(std::chrono::nanoseconds limit) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, limit, [&] { return closed_ || !items_.empty(); });
  }

  // Refuses all later items and wakes the consumer; what was put before can still be taken.
  void Close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    arrived_.notify_all();
  }

  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }

  size_t size() const {
    std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  const size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<T> items_;
  bool closed_ = false;
};

}  // namespace braid
