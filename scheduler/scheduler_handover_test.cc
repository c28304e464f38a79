// Sequences that begin in one scheduler and go on in another: what the first keeps, how the second starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "scheduler/scheduler.h"

namespace braid {
namespace {

using ::testing::ElementsAre;

constexpr SchedulerConfig kConfig = {.max_tokens_per_step = 64, .max_sequences = 4, .block_size = 4, .state_grid = 4,
                                     .max_stall = 0};
constexpr SchedulerLimits kHybrid = {.num_blocks = 8, .num_state_slots = 2, .max_model_len = 32};

std::vector<Committed> Apply(Scheduler& scheduler, SchedulerEvent event) {
  std::vector<SchedulerEvent> events;
  events.push_back(std::move(event));
  return scheduler.Apply(std::move(events), 1);
}

SequenceArrival Arrival(SequenceId id, int prompt_tokens, int max_tokens) {
  return {.id = id, .prompt = std::vector<int32_t>(prompt_tokens, 1), .max_tokens = max_tokens};
}

std::vector<Committed> Finish(Scheduler& scheduler, const StepPlan& plan) {
  StepResult result{.epoch = plan.epoch};
  for (const SequenceStep& step : plan.steps) {
    if (step.samples) result.results.push_back({step.row, step.id, 7});
  }
  return scheduler.Commit(result);
}

// Runs to the end of all that waits and runs; returns what the last commit said.
std::vector<Committed> RunAll(Scheduler& scheduler) {
  std::vector<Committed> last;
  while (scheduler.HasWork()) last = Finish(scheduler, scheduler.Plan());
  return last;
}

TEST(SchedulerHandover, KeepsBlocksAndSlotUntilTheyAreReleased) {
  Scheduler scheduler(kConfig, kHybrid);
  SequenceArrival arrival = Arrival(1, 9, 1);
  arrival.holds = true;
  Apply(scheduler, std::move(arrival));
  ASSERT_EQ(RunAll(scheduler).back().reason, EndReason::kLength);
  const auto held = scheduler.Held(1);
  ASSERT_TRUE(held.has_value());
  EXPECT_EQ(held->num_computed, 9);
  EXPECT_EQ(held->blocks.size(), 3u);
  EXPECT_GE(held->state_slot, 0);
  EXPECT_EQ(scheduler.Stats().held, 1);
  EXPECT_EQ(scheduler.Stats().blocks_used, 3);
  EXPECT_EQ(scheduler.Stats().state_slots_used, 1);
  Apply(scheduler, SequenceRelease{1});
  Apply(scheduler, SequenceRelease{1});
  EXPECT_FALSE(scheduler.Held(1).has_value());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
  EXPECT_EQ(scheduler.Stats().state_slots_used, 0);
  EXPECT_GT(scheduler.Stats().blocks_cached, 0);
}

TEST(SchedulerHandover, NothingIsKeptOfOneThatStops) {
  Scheduler scheduler(kConfig, kHybrid);
  SequenceArrival arrival = Arrival(1, 9, 2);
  arrival.holds = true;
  arrival.stop_token_ids = {7};
  Apply(scheduler, std::move(arrival));
  EXPECT_EQ(RunAll(scheduler).back().reason, EndReason::kStop);
  EXPECT_FALSE(scheduler.Held(1).has_value());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

TEST(SchedulerHandover, WhoWaitsForHeldBlocksRunsAfterTheirRelease) {
  Scheduler scheduler(kConfig, kHybrid);
  SequenceArrival first = Arrival(1, 24, 1);
  first.holds = true;
  Apply(scheduler, std::move(first));
  RunAll(scheduler);
  Apply(scheduler, Arrival(2, 12, 1));
  EXPECT_TRUE(scheduler.Plan().empty());
  Apply(scheduler, SequenceRelease{1});
  EXPECT_FALSE(scheduler.Plan().empty());
}

TEST(SchedulerHandover, StartsBehindWhatIsLoaded) {
  Scheduler scheduler(kConfig, kHybrid);
  SequenceArrival arrival = Arrival(1, 9, 4);
  arrival.output = {7};
  arrival.num_loaded = 9;
  Apply(scheduler, std::move(arrival));
  const StepPlan plan = scheduler.Plan();
  ASSERT_EQ(plan.admitted.size(), 1u);
  EXPECT_TRUE(plan.admitted[0].loads);
  EXPECT_EQ(plan.admitted[0].start, 9);
  EXPECT_EQ(plan.admitted[0].prompt_tokens, 9);
  EXPECT_EQ(plan.admitted[0].restored_slot, -1);
  EXPECT_EQ(plan.admitted[0].tokens.size(), 10u);
  ASSERT_EQ(plan.steps.size(), 1u);
  EXPECT_EQ(plan.steps[0].start, 9);
  EXPECT_EQ(plan.steps[0].num_tokens, 1);
  EXPECT_TRUE(plan.steps[0].samples);
  EXPECT_EQ(Finish(scheduler, plan).size(), 1u);
  EXPECT_EQ(scheduler.Stats().blocks_total - scheduler.Stats().blocks_used, 5);
  RunAll(scheduler);
  EXPECT_EQ(scheduler.Stats().blocks_cached, 3);  // those loaded are found by others
}

TEST(SchedulerHandover, TheOutputKnownCountsInMaxTokens) {
  Scheduler scheduler(kConfig, kHybrid);
  SequenceArrival arrival = Arrival(1, 3, 4);
  arrival.output = {7, 7};
  Apply(scheduler, std::move(arrival));
  int tokens = 0;
  while (scheduler.HasWork()) tokens += static_cast<int>(Finish(scheduler, scheduler.Plan()).size());
  EXPECT_EQ(tokens, 2);
}

TEST(SchedulerHandover, RefusesWhatCannotBe) {
  Scheduler scheduler(kConfig, kHybrid);
  SequenceArrival all_loaded = Arrival(1, 9, 4), over = Arrival(2, 9, 2), below = Arrival(3, 9, 2);
  all_loaded.num_loaded = 9;
  over.output = {7, 7};
  below.num_loaded = -1;
  for (SequenceArrival* arrival : {&all_loaded, &over, &below}) {
    const std::vector<Committed> ended = Apply(scheduler, std::move(*arrival));
    ASSERT_EQ(ended.size(), 1u);
    EXPECT_EQ(ended[0].reason, EndReason::kFailed);
  }
}

}  // namespace
}  // namespace braid
