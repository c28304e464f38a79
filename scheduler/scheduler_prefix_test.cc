// What the scheduler does with the prefix cache: plans of sequences that share beginnings.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "scheduler/scheduler.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr SchedulerConfig kConfig = {.max_tokens_per_step = 64, .max_sequences = 4, .block_size = 4, .state_grid = 4,
                                     .max_stall = 0};
constexpr SchedulerLimits kAttention = {.num_blocks = 64, .max_model_len = 64};
constexpr SchedulerLimits kHybrid = {.num_blocks = 64, .num_state_slots = 8, .max_model_len = 64};

// `count` tokens from `first` on.
std::vector<int32_t> Count(int first, int count) {
  std::vector<int32_t> tokens(count);
  for (int i = 0; i < count; ++i) tokens[i] = first + i;
  return tokens;
}

std::vector<int32_t> Join(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Runs requests one after the other; each output token is 500 + its index.
class Runs {
 public:
  explicit Runs(const SchedulerLimits& limits, const SchedulerConfig& config = kConfig) : scheduler_(config, limits) {}

  // Runs a request to its end; returns its steps: "0+8 8+2! 10+1!", with "@slot" where a snapshot is taken.
  std::string Run(std::vector<int32_t> prompt, int max_tokens, const std::string& salt = "",
                  bool computes_all = false) {
    Submit(std::move(prompt), max_tokens, salt, computes_all);
    std::string steps;
    while (scheduler_.HasWork()) absl::StrAppend(&steps, steps.empty() ? "" : " ", Text(Step()));
    return steps;
  }

  SequenceId Submit(std::vector<int32_t> prompt, int max_tokens, const std::string& salt = "",
                    bool computes_all = false) {
    SequenceArrival arrival = {.id = ++last_id_, .prompt = std::move(prompt), .max_tokens = max_tokens};
    arrival.arrival_ns = static_cast<int64_t>(last_id_);
    arrival.cache_salt = salt;
    arrival.computes_all = computes_all;
    std::vector<SchedulerEvent> events;
    events.push_back(std::move(arrival));
    scheduler_.Apply(std::move(events), 1);
    return last_id_;
  }

  StepPlan Step() {
    StepPlan plan = scheduler_.Plan();
    StepResult result{.epoch = plan.epoch};
    for (const SequenceStep& step : plan.steps) {
      if (step.samples) result.results.push_back({.row = step.row, .id = step.id, .token = NextToken(step.id)});
    }
    scheduler_.Commit(result);
    return plan;
  }

  static std::string Text(const StepPlan& plan) {
    std::string text;
    for (const SequenceStep& step : plan.steps) {
      absl::StrAppend(&text, text.empty() ? "" : " ", step.start, "+", step.num_tokens, step.samples ? "!" : "");
      for (const StateSnapshot& snapshot : plan.snapshots) {
        if (snapshot.row == step.row) absl::StrAppend(&text, "@");
      }
    }
    return text;
  }

  Scheduler& scheduler() { return scheduler_; }
  SchedulerStats Stats() const { return scheduler_.Stats(); }
  uint64_t Missed(PrefixMiss reason) const { return Stats().prefix.misses[static_cast<int>(reason)]; }

 private:
  int32_t NextToken(SequenceId id) { return 500 + num_output_[id]++; }

  Scheduler scheduler_;
  SequenceId last_id_ = 0;
  std::map<SequenceId, int> num_output_;
};

TEST(SchedulerPrefix, SecondRequestStartsBehindTheBlocksOfTheFirst) {
  Runs runs(kAttention);
  EXPECT_EQ(runs.Run(Count(0, 10), 2), "0+10! 10+1!");
  EXPECT_EQ(runs.Run(Count(0, 10), 2), "8+2! 10+1!");
  EXPECT_EQ(runs.Run(Count(0, 8), 1), "4+4!");  // the last token's logits are wanted
  EXPECT_EQ(runs.Run(Join(Count(0, 6), Count(100, 4)), 1), "4+6!");
  EXPECT_EQ(runs.Stats().prefix.queried_tokens, 38u);
  EXPECT_EQ(runs.Stats().prefix.hit_tokens, 16u);
  EXPECT_EQ(runs.Missed(PrefixMiss::kNoPrefix), 1u);
  EXPECT_EQ(runs.Stats().blocks_used, 0);
  EXPECT_EQ(runs.Stats().blocks_cached, 3);  // 0..8, and 4..10 with two others
}

TEST(SchedulerPrefix, SharedBlocksAreTheSameInBothTables) {
  Runs runs(kAttention);
  runs.Submit(Count(0, 9), 8);
  const StepPlan first = runs.Step();
  runs.Submit(Count(0, 9), 8);
  const StepPlan second = runs.Step();
  ASSERT_EQ(second.admitted.size(), 1u);
  EXPECT_EQ(second.admitted[0].start, 8);
  ASSERT_EQ(second.new_blocks.size(), 1u);
  EXPECT_EQ(second.new_blocks[0].blocks.size(), 3u);
  EXPECT_EQ(second.new_blocks[0].blocks[0], first.new_blocks[0].blocks[0]);
  EXPECT_EQ(second.new_blocks[0].blocks[1], first.new_blocks[0].blocks[1]);
  EXPECT_NE(second.new_blocks[0].blocks[2], first.new_blocks[0].blocks[2]);
  EXPECT_EQ(runs.Stats().blocks_used, 4);
  EXPECT_EQ(runs.scheduler().Info(2).cached_tokens, 8);
}

TEST(SchedulerPrefix, OneStepComputesOnePrefixTwiceAndKeepsOne) {
  Runs runs(kAttention);
  runs.Submit(Count(0, 9), 1);
  runs.Submit(Count(0, 9), 1);
  EXPECT_EQ(Runs::Text(runs.Step()), "0+9! 0+9!");
  EXPECT_EQ(runs.Stats().blocks_used, 0);
  EXPECT_EQ(runs.Stats().blocks_cached, 2);
}

TEST(SchedulerPrefix, SaltsShareNothing) {
  Runs runs(kAttention);
  runs.Run(Count(0, 10), 1, "a");
  EXPECT_EQ(runs.Run(Count(0, 10), 1, "b"), "0+10!");
  EXPECT_EQ(runs.Run(Count(0, 10), 1, "a"), "8+2!");
}

TEST(SchedulerPrefix, CountsWhyNothingWasFound) {
  Runs runs(kHybrid);
  runs.Run(Count(0, 4), 1);
  EXPECT_EQ(runs.Missed(PrefixMiss::kTooShort), 1u);
  runs.Run(Count(100, 12), 1);
  EXPECT_EQ(runs.Missed(PrefixMiss::kNoPrefix), 1u);
  runs.Run(Join(Count(100, 5), Count(0, 5)), 1);  // leaves the second before its only snapshot, at 8
  EXPECT_EQ(runs.Missed(PrefixMiss::kNoSnapshot), 1u);
  EXPECT_EQ(runs.Stats().prefix.tokens_without_snapshot, 4u);
  EXPECT_EQ(runs.Run(Count(100, 12), 1, "", true), "0+8@ 8+4!@");
  EXPECT_EQ(runs.Missed(PrefixMiss::kDisabled), 1u);
  SchedulerConfig off = kConfig;
  off.prefix_cache = false;
  Runs without(kAttention, off);
  without.Run(Count(0, 10), 1);
  EXPECT_EQ(without.Run(Count(0, 10), 1), "0+10!");
  EXPECT_EQ(without.Missed(PrefixMiss::kDisabled), 2u);
}

TEST(SchedulerPrefix, HybridCutsAtTheLastBlockOfThePromptAndHitsThere) {
  Runs runs(kHybrid);
  EXPECT_EQ(runs.Run(Count(0, 10), 1), "0+8@ 8+2!");
  EXPECT_EQ(runs.Run(Count(0, 10), 1), "8+2!");
  EXPECT_EQ(runs.Run(Count(0, 8), 1), "0+4@ 4+4!@");  // no state at 4 yet; that at 8 is there already
  EXPECT_EQ(runs.Run(Count(0, 8), 1), "4+4!@");
}

TEST(SchedulerPrefix, ThirdVisitorOfABranchComputesItsOwnTokens) {
  Runs runs(kHybrid);
  const std::vector<int32_t> shared = Count(0, 18);
  runs.Run(Join(shared, Count(100, 9)), 1);
  EXPECT_EQ(runs.Run(Join(shared, Count(200, 9)), 1), "0+16@ 16+8@ 24+3!");
  EXPECT_EQ(runs.Run(Join(shared, Count(300, 9)), 1), "16+8@ 24+3!");
}

TEST(SchedulerPrefix, NextTurnStartsBehindTheAnswer) {
  Runs runs(kHybrid);
  EXPECT_EQ(runs.Run(Count(0, 6), 8), "0+4@ 4+2! 6+1! 7+1!@ 8+1! 9+1! 10+1! 11+1!@ 12+1!");
  EXPECT_EQ(runs.Stats().snapshots, 2);  // at 4, and of the output the newest alone, at 12
  EXPECT_EQ(runs.Run(Join(Join(Count(0, 6), Count(500, 8)), Count(50, 3)), 1), "12+4@ 16+1!");
  EXPECT_EQ(runs.scheduler().Info(2).cached_tokens, 12);
}

TEST(SchedulerPrefix, SnapshotOthersStartedFromStays) {
  Runs runs(kHybrid);
  runs.Submit(Count(0, 6), 12);
  while (runs.Stats().snapshots < 2) runs.Step();  // at 4 and 8
  runs.Submit(Join(Join(Count(0, 6), Count(500, 2)), Count(90, 2)), 1);
  const StepPlan plan = runs.Step();
  EXPECT_EQ(plan.admitted.at(0).start, 8);
  while (runs.scheduler().HasWork()) runs.Step();
  EXPECT_EQ(runs.Run(Join(Join(Count(0, 6), Count(500, 2)), Count(70, 2)), 1), "8+2!");
}

TEST(SchedulerPrefix, RunningSequencesTakeSlotsFromSnapshots) {
  Runs runs({.num_blocks = 64, .num_state_slots = 2, .max_model_len = 64});
  runs.Run(Count(0, 10), 1);
  runs.Submit(Count(100, 10), 3);
  runs.Submit(Count(200, 10), 3);
  const StepPlan plan = runs.Step();
  EXPECT_EQ(plan.admitted.size(), 2u);
  EXPECT_THAT(plan.snapshots, IsEmpty());
  EXPECT_EQ(runs.Stats().state_slots_used, 2);
  EXPECT_EQ(runs.Stats().snapshots, 0);
  EXPECT_EQ(runs.Stats().prefix.evicted_snapshots, 1u);
}

TEST(SchedulerPrefix, LastSlotIsTakenOverWithItsState) {
  Runs runs({.num_blocks = 64, .num_state_slots = 2, .max_model_len = 64});
  runs.Run(Count(0, 10), 1);
  runs.Submit(Count(100, 3), 9);
  runs.Step();
  EXPECT_EQ(runs.Stats().snapshots, 1);
  runs.Submit(Count(0, 10), 1);
  const RowAdmission admission = runs.Step().admitted.at(0);
  EXPECT_EQ(admission.start, 8);
  EXPECT_EQ(admission.restored_slot, admission.state_slot);
}

TEST(SchedulerPrefix, RunningSequencesTakeCachedBlocksBeforeAnyIsPreempted) {
  Runs runs({.num_blocks = 4, .max_model_len = 16});
  runs.Run(Count(0, 13), 1);
  EXPECT_EQ(runs.Stats().blocks_cached, 3);
  EXPECT_EQ(runs.Run(Count(100, 6), 10), "0+6! 6+1! 7+1! 8+1! 9+1! 10+1! 11+1! 12+1! 13+1! 14+1!");
  EXPECT_EQ(runs.Stats().preemptions, 0u);
  EXPECT_EQ(runs.Stats().prefix.evicted_blocks, 3u);
}

TEST(SchedulerPrefix, BlocksInUseByOthersMakeRoom) {
  Runs runs({.num_blocks = 6, .max_model_len = 24});
  runs.Submit(Count(0, 17), 2);
  runs.Step();  // five blocks
  runs.Submit(Count(0, 17), 1);
  EXPECT_EQ(runs.Step().admitted.size(), 1u);  // four of the five, and the free one
}

TEST(SchedulerPrefix, PreemptedSequenceFindsItsOwnBlocks) {
  SchedulerConfig config = kConfig;
  config.block_size = config.state_grid = 2;
  Runs runs({.num_blocks = 6, .max_model_len = 12}, config);
  runs.Submit(Count(0, 3), 8);
  runs.Submit(Count(100, 3), 8);
  while (runs.Stats().preemptions == 0) runs.Step();
  StepPlan plan;
  while (plan.admitted.empty()) plan = runs.Step();
  EXPECT_EQ(plan.admitted[0].id, 2u);
  EXPECT_GT(plan.admitted[0].start, 0);
  EXPECT_EQ(runs.scheduler().Info(2).cached_tokens, 0);  // of its first admission
}

TEST(SchedulerPrefix, FailedSequenceLeavesNothingBehind) {
  Runs runs(kAttention);
  Scheduler& scheduler = runs.scheduler();
  runs.Submit(Count(0, 10), 2);
  const StepPlan plan = scheduler.Plan();
  scheduler.Commit({plan.epoch, {{.row = plan.steps[0].row, .id = plan.steps[0].id, .token = -1}}});
  EXPECT_EQ(runs.Stats().blocks_cached, 0);
  EXPECT_EQ(runs.Run(Count(0, 10), 1), "0+10!");
}

TEST(SchedulerPrefix, ResetDropsAllThatIsIdle) {
  Runs runs(kHybrid);
  runs.Run(Count(0, 10), 8);
  EXPECT_GT(runs.Stats().blocks_cached, 0);
  runs.scheduler().Apply({ResetPrefixCache{}}, 2);
  EXPECT_EQ(runs.Stats().blocks_cached, 0);
  EXPECT_EQ(runs.Stats().snapshots, 0);
  EXPECT_EQ(runs.Run(Count(0, 10), 1), "0+8@ 8+2!");
}

TEST(SchedulerPrefix, WholePromptsAreNotCut) {
  SchedulerConfig config = kConfig;
  config.chunked_prefill = ChunkedPrefill::kOff;
  Runs runs(kHybrid, config);
  EXPECT_EQ(runs.Run(Count(0, 10), 3), "0+10! 10+1! 11+1!@");
  EXPECT_EQ(runs.Run(Join(Count(0, 10), {500, 501, 7}), 1), "12+1!");
}

// Depth 1: a snapshot that a launched step still writes is given up for a sequence that waits for a slot.
TEST(SchedulerPrefix, PendingSnapshotGivesWayToASequence) {
  Runs runs({.num_blocks = 64, .num_state_slots = 2, .max_model_len = 64});
  Scheduler& scheduler = runs.scheduler();
  runs.Submit(Count(0, 10), 3);
  const StepPlan first = scheduler.Plan();
  ASSERT_EQ(first.snapshots.size(), 1u);
  runs.Submit(Count(100, 10), 3);
  const StepPlan second = scheduler.Plan();
  ASSERT_EQ(second.admitted.size(), 1u);
  EXPECT_EQ(second.admitted[0].state_slot, first.snapshots[0].slot);
  scheduler.Commit({first.epoch, {}});
  EXPECT_EQ(runs.Stats().snapshots, 0);
  EXPECT_EQ(runs.Stats().state_slots_used, 2);
}

}  // namespace
}  // namespace braid
