#include "scheduler/state_slot_pool.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

TEST(StateSlotPool, SlotComesBackWhenItsRefDies) {
  StateSlotPool pool(1);
  {
    SlotRef slot = pool.Take();
    EXPECT_EQ(slot.id(), 0);
    EXPECT_EQ(pool.num_free(), 0);
  }
  EXPECT_EQ(pool.num_free(), 1);
}

TEST(StateSlotPool, EmptyRefHoldsNone) {
  StateSlotPool pool(1);
  SlotRef slot = pool.Take();
  SlotRef other = std::move(slot);
  EXPECT_EQ(slot.id(), -1);
  other = SlotRef();
  EXPECT_EQ(other.id(), -1);
  EXPECT_EQ(pool.num_used(), 0);
}

}  // namespace
}  // namespace braid
