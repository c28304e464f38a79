#include "scheduler/block_pool.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace braid {
namespace {

TEST(BlockPool, HandsOutEachBlockOnceAndTakesItBack) {
  BlockPool pool(3);
  {
    std::vector<BlockRef> held;
    std::set<int32_t> ids;
    for (int i = 0; i < 3; ++i) {
      held.push_back(pool.Take());
      ids.insert(held.back().id());
    }
    EXPECT_EQ(ids, (std::set<int32_t>{0, 1, 2}));
    EXPECT_EQ(pool.num_free(), 0);
    EXPECT_EQ(pool.num_used(), 3);
  }
  EXPECT_EQ(pool.num_free(), 3);
}

TEST(BlockPool, MovedRefGivesBackOnce) {
  BlockPool pool(2);
  BlockRef first = pool.Take();
  BlockRef second = std::move(first);
  EXPECT_EQ(pool.num_used(), 1);
  second = pool.Take();  // the block it held before goes back
  EXPECT_EQ(pool.num_used(), 1);
  second = BlockRef();
  EXPECT_EQ(pool.num_used(), 0);
}

TEST(BlockPool, TakesLastGivenBackFirst) {
  BlockPool pool(4);
  BlockRef a = pool.Take(), b = pool.Take();
  const int32_t id = a.id();
  a = BlockRef();
  EXPECT_EQ(pool.Take().id(), id);
}

TEST(BlockPool, SharedBlockComesBackWithItsLastHolder) {
  BlockPool pool(2);
  BlockRef first = pool.Take();
  {
    const BlockRef second = first.Share();
    EXPECT_EQ(second.id(), first.id());
    EXPECT_EQ(pool.num_used(), 1);
    EXPECT_EQ(pool.num_holders(first.id()), 2);
    first = BlockRef();
    EXPECT_EQ(pool.num_used(), 1);
  }
  EXPECT_EQ(pool.num_free(), 2);
}

TEST(BlockPoolDeathTest, TakingFromAnEmptyPoolIsOurFault) {
  BlockPool pool(0);
  EXPECT_DEATH(pool.Take(), "no free block");
}

}  // namespace
}  // namespace braid
