#include "engine/memory_budget.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

TEST(MemoryBudget, TakesNoMoreBlocksThanSequencesCanUse) {
  const auto split = SplitMemory(int64_t{1} << 40, {.block_bytes = 1000, .max_sequences = 4, .max_model_len = 320});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->num_blocks, 40);
  EXPECT_EQ(split->num_state_slots, 0);
  EXPECT_EQ(split->bytes, 40'000);
}

TEST(MemoryBudget, LeavesBlocksBesideSlots) {
  const auto split =
      SplitMemory(100'000, {.block_bytes = 1000, .slot_bytes = 10'000, .max_sequences = 64, .max_model_len = 64000});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->num_state_slots, 4);
  EXPECT_EQ(split->num_blocks, 60);
  EXPECT_LE(split->bytes, 100'000);
}

TEST(MemoryBudget, GivesOneSlotAndOneBlockAtLeast) {
  const auto split = SplitMemory(11'000, {.block_bytes = 1000, .slot_bytes = 10'000, .max_sequences = 8});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->num_state_slots, 1);
  EXPECT_EQ(split->num_blocks, 1);
}

TEST(MemoryBudget, GivesThePrefixCacheWhatTheRunningLeave) {
  MemoryDemand demand{.block_bytes = 1000, .slot_bytes = 10'000, .max_sequences = 4, .max_model_len = 320};
  const auto without = SplitMemory(int64_t{1} << 40, demand);
  demand.prefix_cache = true;
  const auto roomy = SplitMemory(int64_t{1} << 40, demand), tight = SplitMemory(130'000, demand);
  ASSERT_TRUE(without.ok() && roomy.ok() && tight.ok());
  EXPECT_EQ(without->num_state_slots, 4);
  EXPECT_EQ(without->num_blocks, 40);
  EXPECT_EQ(roomy->num_state_slots, 4 + 16);
  EXPECT_EQ(roomy->num_snapshot_slots, 16);
  EXPECT_EQ(roomy->num_blocks, 80);
  EXPECT_EQ(tight->num_state_slots, 4 + 2);  // a quarter of 130,000 - 4 slots - 10 blocks
  EXPECT_EQ(tight->num_blocks, 70);
}

TEST(MemoryBudget, SaysHowMuchIsNeeded) {
  const auto split = SplitMemory(1000, {.block_bytes = 2048, .slot_bytes = 2048});
  EXPECT_EQ(split.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_NE(split.status().message().find("4.0 KiB"), std::string::npos) << split.status();
}

TEST(MemoryBudget, CountsTokensOfModelsWithoutAttention) {
  const auto split = SplitMemory(1'000'000, {.slot_bytes = 1000, .max_sequences = 4, .max_model_len = 64});
  ASSERT_TRUE(split.ok());
  EXPECT_EQ(split->num_state_slots, 4);
  EXPECT_EQ(split->num_blocks, 8);
}

}  // namespace
}  // namespace braid
