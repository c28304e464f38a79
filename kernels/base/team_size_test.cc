#include "kernels/base/team_size.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

constexpr int64_t kMs = 1'000'000;

// Windows of 20 ms; a team of more than `cores` members is crowded. Returns the time in windows that were.
int64_t CrowdedNs(TeamSize& size, int cores, int64_t for_ns) {
  int64_t crowded_ns = 0;
  for (int64_t at = 0; at < for_ns; at += 20 * kMs) {
    const bool crowded = size.active() > cores;
    if (crowded) crowded_ns += 20 * kMs;
    size.Observe(20 * kMs, crowded ? 15 * kMs : 1 * kMs);
  }
  return crowded_ns;
}

TEST(TeamSize, StaysWholeWhileTheDelaysAreShort) {
  TeamSize size(4);
  for (int i = 0; i < 1000; ++i) {
    size.Observe(20 * kMs, 5 * kMs);
    ASSERT_EQ(size.active(), 4);
  }
}

TEST(TeamSize, GivesUpOneMemberAWindowUntilAllHaveCores) {
  TeamSize size(8);
  CrowdedNs(size, 5, 3 * 20 * kMs);
  EXPECT_EQ(size.active(), 5);
  CrowdedNs(size, 5, 400 * kMs);
  EXPECT_EQ(size.active(), 5);
}

TEST(TeamSize, TriesEverMoreSeldomWhileCrowded) {
  TeamSize size(2);
  EXPECT_LT(CrowdedNs(size, 1, 60'000 * kMs), 60'000 * kMs / 100);
}

TEST(TeamSize, IsWholeAgainAfterANeighbourWent) {
  TeamSize size(3);
  CrowdedNs(size, 1, 500 * kMs);
  CrowdedNs(size, 3, 3'000 * kMs);
  EXPECT_EQ(size.active(), 3);
}

TEST(TeamSize, OneAloneHasNobodyToWaitFor) {
  TeamSize one(1);
  for (int i = 0; i < 100; ++i) one.Observe(20 * kMs, 20 * kMs);
  EXPECT_EQ(one.active(), 1);
  TeamSize two(2);
  two.Observe(20 * kMs, 20 * kMs);
  EXPECT_EQ(two.active(), 1);
  for (int i = 0; i < 40; ++i) two.Observe(20 * kMs, 20 * kMs);  // crowded as it is, one more is tried
  EXPECT_EQ(two.active(), 1);
  for (int i = 0; i < 60; ++i) two.Observe(20 * kMs, 0);
  EXPECT_EQ(two.active(), 2);
}

}  // namespace
}  // namespace braid
