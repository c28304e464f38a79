// Bounds the bytes of images that arrive or wait: who finds no room waits for others to give theirs back.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

#include "engine/handover/sequence_layout.h"

namespace braid {

// Shared by the images it has room for. Thread: any.
class StagingRoom : public std::enable_shared_from_this<StagingRoom> {
 public:
  explicit StagingRoom(int64_t max_bytes) : max_bytes_(max_bytes) {}

  // Returns whether `bytes` are reserved; if not, `then` is called once they are, in the order of asking. Who wants more
  // than there is gets all of it.
  bool Reserve(int64_t bytes, std::function<void()> then) {
    std::lock_guard lock(mutex_);
    if (waiting_.empty() && Fits(bytes)) {
      used_ += bytes;
      return true;
    }
    if (!closed_) waiting_.push_back({bytes, std::move(then)});
    return false;
  }

  void GiveBack(int64_t bytes) {
    std::deque<Waiting> next;
    {
      std::lock_guard lock(mutex_);
      used_ -= bytes;
      while (!waiting_.empty() && Fits(waiting_.front().bytes)) {
        used_ += waiting_.front().bytes;
        next.push_back(std::move(waiting_.front()));
        waiting_.pop_front();
      }
    }
    for (Waiting& one : next) one.then();
  }

  // Returns `image` so that its reserved bytes are given back when it dies.
  std::shared_ptr<const SequenceImage> Settle(std::shared_ptr<const SequenceImage> image, int64_t bytes) {
    const SequenceImage* const raw = image.get();
    return {raw, [room = shared_from_this(), image = std::move(image), bytes](const SequenceImage*) mutable {
              image = nullptr;
              room->GiveBack(bytes);
            }};
  }

  // Forgets who waits; nobody is called any more.
  void Close() {
    std::deque<Waiting> forgotten;  // dies without the lock
    std::lock_guard lock(mutex_);
    closed_ = true;
    forgotten.swap(waiting_);
  }

  int64_t used() const {
    std::lock_guard lock(mutex_);
    return used_;
  }

 private:
  struct Waiting {
    int64_t bytes;
    std::function<void()> then;
  };

  bool Fits(int64_t bytes) const { return used_ == 0 || bytes <= max_bytes_ - used_; }

  const int64_t max_bytes_;
  mutable std::mutex mutex_;
  std::deque<Waiting> waiting_;
  int64_t used_ = 0;
  bool closed_ = false;
};

}  // namespace braid
