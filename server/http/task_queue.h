// Tasks that other threads have for an io thread, handed over many at a time: one wake-up and one operation of the
// io context for all that have gathered until it comes to them.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace braid {

// Outlives the context's run. Thread: any for Post; tasks run on the context's one thread, in the order posted.
class TaskQueue {
 public:
  explicit TaskQueue(boost::asio::io_context& context) : context_(context) {}

  void Post(std::function<void()> task) {
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
      if (tasks_.size() > 1) return;  // those before have asked for the run
    }
    boost::asio::post(context_, [this] { Run(); });
  }

 private:
  void Run() {
    {
      std::lock_guard lock(mutex_);
      running_.swap(tasks_);
    }
    for (std::function<void()>& task : running_) std::exchange(task, nullptr)();
    running_.clear();
  }

  boost::asio::io_context& context_;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;    // guarded by mutex_
  std::vector<std::function<void()>> running_;  // Thread: the context's; keeps its memory between runs
};

}  // namespace braid
