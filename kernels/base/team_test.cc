#include "kernels/base/team.h"

#include <gtest/gtest.h>

#include <numeric>

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
