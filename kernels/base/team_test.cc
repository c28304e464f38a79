#include "kernels/base/team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace braid {
namespace {

TEST(Share, CoversEveryItemOnceInWholeGrains) {
  for (int count : {1, 2, 3, 7}) {
    for (int64_t total : {0, 1, 5, 16, 100, 1000}) {
      for (int64_t grain : {1, 8, 16}) {
        int64_t next = 0;
        for (int i = 0; i < count; ++i) {
          const auto range = Share{i, count, nullptr}.Of(total, grain);
          EXPECT_EQ(range.begin, next);
          EXPECT_TRUE(range.begin % grain == 0 || range.begin == total);
          next = range.end;
        }
        EXPECT_EQ(next, total);
      }
    }
  }
}

TEST(Team, BarrierSeparatesPhases) {
  Team team(4, false);
  std::vector<int> cells(4, 0), sums(4, 0);
  for (int round = 1; round <= 500; ++round) {
    team.Run([&](const Share& share) {
      cells[share.index] = round;
      share.Sync();
      sums[share.index] = std::accumulate(cells.begin(), cells.end(), 0);
      share.Sync();
    });
    for (int sum : sums) ASSERT_EQ(sum, 4 * round);
  }
}

// With neighbours on every core the team changes its size while it works; what it computes must not change.
TEST(Team, ComputesTheSameWhileMembersComeAndGo) {
  const int size = static_cast<int>(std::thread::hardware_concurrency()) + 2;
  std::atomic<bool> done{false};
  std::vector<std::thread> neighbours;
  for (int i = 0; i < size; ++i) {
    neighbours.emplace_back([&] {
      while (!done.load(std::memory_order_relaxed)) {
      }
    });
  }
  Team team(size);
  std::vector<int64_t> sums(64);
  int last_size = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  for (int64_t round = 0; std::chrono::steady_clock::now() < end; ++round) {
    std::atomic<int> walkers{0};
    team.Run([&](const Share& share) {
      walkers += 1;
      const Share::Range range = share.Of(64);
      for (int64_t i = range.begin; i < range.end; ++i) sums[i] = round + i;
      share.Sync();
      ASSERT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), 64 * round + 64 * 63 / 2);
      share.Sync();
      if (share.index == 0) last_size = share.count;
    });
    ASSERT_EQ(walkers, last_size);
  }
  done = true;
  for (std::thread& neighbour : neighbours) neighbour.join();
}

TEST(Team, OfOneRunsOnTheCaller) {
  Team team(1);
  std::thread::id seen;
  team.Run([&](const Share& share) {
    EXPECT_EQ(share.count, 1);
    seen = std::this_thread::get_id();
  });
  EXPECT_EQ(seen, std::this_thread::get_id());
}

}  // namespace
}  // namespace braid
