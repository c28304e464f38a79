#include "scheduler/prefix_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace braid {
namespace {

constexpr int kBlockSize = 2;

class PrefixCacheTest : public ::testing::Test {
 protected:
  PrefixHold Publish(PrefixCache& cache, const std::vector<int32_t>& tokens, const std::string& salt = "") {
    PrefixHold hold;
    for (size_t at = 0; at + kBlockSize <= tokens.size(); at += kBlockSize) {
      cache.Extend(&hold, salt, std::span(tokens).subspan(at, kBlockSize), blocks_.Take());
    }
    return hold;
  }
  static int Matched(const PrefixCache& cache, std::vector<int32_t> tokens, const std::string& salt = "") {
    return PrefixMatch::DepthOf(cache.Match(salt, tokens).usable);
  }

  BlockPool blocks_{16};
  StateSlotPool slots_{4};
  PrefixCache cache_{kBlockSize, false, 16};
  PrefixCache hybrid_{kBlockSize, true, 16};
};

TEST_F(PrefixCacheTest, FindsTheLongestPathButNotTheLastToken) {
  Publish(cache_, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 5, 6, 7}), 3);
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 5, 6}), 2);
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 9, 5, 6, 7}), 1);
  EXPECT_EQ(Matched(cache_, {1, 2}), 0);
  EXPECT_EQ(Matched(cache_, {3, 4, 5}), 0);  // a block is found behind its parents only
}

TEST_F(PrefixCacheTest, SaltsShareNothing) {
  Publish(cache_, {1, 2, 3, 4}, "a");
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 5}, "a"), 2);
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 5}, "b"), 0);
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 5}), 0);
  Publish(cache_, {1, 2}, "b");
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 5}, "b"), 1);
}

TEST_F(PrefixCacheTest, SecondBlockOfEqualTokensStaysWithItsOwner) {
  Publish(cache_, {1, 2});
  EXPECT_EQ(blocks_.num_used(), 1);
  const PrefixHold hold = Publish(cache_, {1, 2, 3, 4});
  EXPECT_EQ(cache_.num_blocks(), 2);
  EXPECT_EQ(blocks_.num_used(), 2);
}

TEST_F(PrefixCacheTest, SharesBlocksInOrder) {
  Publish(cache_, {1, 2, 3, 4});
  std::vector<BlockRef> shares;
  cache_.ShareBlocks(cache_.Match("", std::vector<int32_t>{1, 2, 3, 4, 5}).usable, &shares);
  ASSERT_EQ(shares.size(), 2u);
  EXPECT_EQ(shares[0].id(), 0);
  EXPECT_EQ(shares[1].id(), 1);
}

TEST_F(PrefixCacheTest, EvictsLeavesNobodyHolds) {
  Publish(cache_, {1, 2, 3, 4});
  PrefixHold held = Publish(cache_, {1, 2, 5, 6});
  EXPECT_EQ(cache_.num_idle(), 1);
  EXPECT_TRUE(cache_.EvictBlock());
  EXPECT_FALSE(cache_.EvictBlock());  // the rest is held
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 0}), 1);
  EXPECT_EQ(Matched(cache_, {1, 2, 5, 6, 0}), 2);
  held = {};
  EXPECT_EQ(cache_.num_idle(), 2);
  EXPECT_TRUE(cache_.EvictBlock());
  EXPECT_TRUE(cache_.EvictBlock());
  EXPECT_EQ(blocks_.num_used(), 0);
  EXPECT_EQ(cache_.evicted_blocks(), 3u);
}

TEST_F(PrefixCacheTest, EvictsTheLongestUnusedFirst) {
  Publish(cache_, {1, 1});
  Publish(cache_, {2, 2});
  Publish(cache_, {3, 3});
  cache_.Hold(cache_.Match("", std::vector<int32_t>{1, 1, 0}).usable);  // used again
  cache_.EvictBlock();
  EXPECT_EQ(Matched(cache_, {1, 1, 0}), 1);
  EXPECT_EQ(Matched(cache_, {2, 2, 0}), 0);
  EXPECT_EQ(Matched(cache_, {3, 3, 0}), 1);
}

TEST_F(PrefixCacheTest, DropTakesTheIdleEndOfAPath) {
  const PrefixHold other = Publish(cache_, {1, 2, 3, 4});
  cache_.Drop(Publish(cache_, {1, 2, 5, 6, 7, 8}));
  EXPECT_EQ(cache_.num_blocks(), 2);
  EXPECT_EQ(Matched(cache_, {1, 2, 5, 6, 0}), 1);
  EXPECT_EQ(Matched(cache_, {1, 2, 3, 4, 0}), 2);
}

TEST_F(PrefixCacheTest, HybridsAreUsableUpToASnapshot) {
  PrefixHold hold = Publish(hybrid_, {1, 2, 3, 4});
  hybrid_.Keep(hold.node(), slots_.Take(), 0, 4);
  PrefixHold longer = Publish(hybrid_, {1, 2, 3, 4, 5, 6});
  const PrefixMatch match = hybrid_.Match("", std::vector<int32_t>{1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(PrefixMatch::DepthOf(match.usable), 2);
  EXPECT_EQ(PrefixMatch::DepthOf(match.deepest), 3);
  EXPECT_TRUE(hybrid_.EvictSnapshot());  // though its block is held
  EXPECT_EQ(Matched(hybrid_, {1, 2, 3, 4, 5, 6, 7}), 0);
  EXPECT_EQ(slots_.num_used(), 0);
}

TEST_F(PrefixCacheTest, KeepsTheSnapshotThatSavesMore) {
  PrefixHold a = Publish(hybrid_, {1, 1}), b = Publish(hybrid_, {2, 2}), c = Publish(hybrid_, {3, 3});
  hybrid_.Keep(a.node(), slots_.Take(), 0, 100);
  hybrid_.Keep(b.node(), slots_.Take(), 0, 10);
  EXPECT_FALSE(hybrid_.EvictSnapshotBelow(9));
  EXPECT_TRUE(hybrid_.EvictSnapshotBelow(10));
  EXPECT_GE(a.node()->snapshot.id(), 0);
  EXPECT_EQ(b.node()->snapshot.id(), -1);
  // What is not used again ages: each eviction adds its value to those that come after it.
  for (int i = 0; i < 12 && a.node()->snapshot.id() >= 0; ++i) {
    hybrid_.Keep(c.node(), slots_.Take(), 0, 10);
    hybrid_.EvictSnapshot();
  }
  EXPECT_EQ(a.node()->snapshot.id(), -1);
}

TEST_F(PrefixCacheTest, BlocksBehindNoSnapshotGoFirst) {
  {
    PrefixHold kept = Publish(hybrid_, {1, 1});
    hybrid_.Keep(kept.node(), slots_.Take(), 0, 2);
  }
  Publish(hybrid_, {2, 2});
  hybrid_.EvictBlock();
  EXPECT_EQ(Matched(hybrid_, {1, 1, 0}), 1);
  EXPECT_EQ(hybrid_.num_blocks(), 1);
  hybrid_.EvictBlock();
  EXPECT_EQ(slots_.num_used(), 0);
  EXPECT_EQ(hybrid_.evicted_snapshots(), 1u);
}

TEST_F(PrefixCacheTest, ResetLeavesWhatIsHeld) {
  PrefixHold hold = Publish(hybrid_, {1, 2, 3, 4});
  hybrid_.Keep(hold.node(), slots_.Take(), 0, 4);
  Publish(hybrid_, {5, 6});
  hybrid_.Reset();
  EXPECT_EQ(hybrid_.num_blocks(), 2);
  EXPECT_EQ(hybrid_.num_snapshots(), 0);
  hold = {};
  hybrid_.Reset();
  EXPECT_EQ(blocks_.num_used(), 0);
}

// Counts that are kept in passing against counts made anew, over random changes.
TEST_F(PrefixCacheTest, KeepsItsCountsOverRandomChanges) {
  std::mt19937 random(3);
  std::vector<PrefixHold> holds(6);
  for (int i = 0; i < 20'000; ++i) {
    PrefixHold& hold = holds[random() % holds.size()];
    const std::vector<int32_t> tokens = {static_cast<int32_t>(random() % 2), 0};
    const int kind = random() % 8;
    if (kind == 0) hold = {};
    if (kind == 1) hybrid_.EvictBlock();
    if (kind == 2) hybrid_.EvictSnapshot();
    if (kind == 3) hybrid_.Drop(std::exchange(hold, {}));
    if (kind == 4 && hold.node() != nullptr && hold.node()->snapshot.id() < 0 && slots_.num_free() > 0) {
      hybrid_.Keep(hold.node(), slots_.Take(), 0, random() % 50);
    }
    if (kind > 4 && blocks_.num_free() > 0) hybrid_.Extend(&hold, "", tokens, blocks_.Take());
    EXPECT_EQ(blocks_.num_used(), hybrid_.num_blocks());
    EXPECT_EQ(slots_.num_used(), hybrid_.num_snapshots());
    int deepest = 0;
    for (const PrefixHold& one : holds) deepest = std::max(deepest, one.depth());
    EXPECT_LE(deepest, hybrid_.num_blocks() - hybrid_.num_idle());
  }
  for (PrefixHold& hold : holds) hold = {};
  EXPECT_EQ(hybrid_.num_idle(), hybrid_.num_blocks());
  while (hybrid_.EvictBlock()) {
  }
  EXPECT_EQ(blocks_.num_used() + slots_.num_used(), 0);
}

}  // namespace
}  // namespace braid
