#include "kernels/base/queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace braid {
namespace {

TEST(BoundedQueue, AnswersFullAndClosed) {
  BoundedQueue<int> queue(2);
  EXPECT_EQ(queue.Put(1), PutResult::kPut);
  EXPECT_EQ(queue.Put(2), PutResult::kPut);
  EXPECT_EQ(queue.Put(3), PutResult::kFull);
  queue.Close();
  EXPECT_EQ(queue.Put(4), PutResult::kClosed);
  EXPECT_EQ(queue.TakeAll(), (std::vector<int>{1, 2}));
  queue.Wait();  // closed: returns at once
}

TEST(BoundedQueue, KeepsEachProducersOrder) {
  BoundedQueue<int> queue(1 << 20);
  std::vector<std::thread> producers;
  for (int p = 0; p < 4; ++p) {
    producers.emplace_back([&, p] {
      for (int i = 0; i < 1000; ++i) queue.Put(p * 1000 + i);
    });
  }
  std::vector<int> next(4, 0);
  for (int taken = 0; taken < 4000;) {
    queue.Wait();
    for (int item : queue.TakeAll()) {
      EXPECT_EQ(item % 1000, next[item / 1000]++);
      ++taken;
    }
  }
  for (std::thread& producer : producers) producer.join();
}

}  // namespace
}  // namespace braid
