#include "server/http/task_queue.h"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace braid {
namespace {

TEST(TaskQueue, RunsEveryThreadsTasksInTheOrderPosted) {
  constexpr int kThreads = 4, kTasks = 20'000;
  boost::asio::io_context context(1);
  TaskQueue queue(context);
  std::vector<int> next(kThreads);
  int out_of_order = 0, run = 0;
  auto work = boost::asio::make_work_guard(context);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        queue.Post([&, t, i] {
          out_of_order += next[t]++ != i;
          if (++run == kThreads * kTasks) work.reset();
        });
      }
    });
  }
  context.run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(out_of_order, 0);
  EXPECT_EQ(next, std::vector<int>(kThreads, kTasks));
}

TEST(TaskQueue, ATaskPostedByATaskRunsAfterIt) {
  boost::asio::io_context context(1);
  TaskQueue queue(context);
  std::string order;
  queue.Post([&] {
    queue.Post([&] { order += "c"; });
    order += "a";
  });
  queue.Post([&] { order += "b"; });
  context.run();
  EXPECT_EQ(order, "abc");
}

TEST(TaskQueue, DropsWithItselfWhatHasNotRun) {
  const auto held = std::make_shared<int>();
  {
    boost::asio::io_context context(1);
    TaskQueue queue(context);
    queue.Post([held] {});
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace braid
