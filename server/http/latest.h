// A value that is replaced as a whole while others read it.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

namespace braid {

// Shared, because whoever reads keeps the value it began with. Thread: any.
template <class T>
class Latest {
 public:
  explicit Latest(std::shared_ptr<T> value) : value_(std::move(value)) {}

  std::shared_ptr<T> Get() const {
    std::lock_guard lock(mutex_);
    return value_;
  }
  void Set(std::shared_ptr<T> value) {
    std::lock_guard lock(mutex_);
    value_.swap(value);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<T> value_;
};

}  // namespace braid
