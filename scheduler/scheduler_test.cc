#include "scheduler/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// "id:start+tokens", and "!" where it samples.
std::string Text(const StepPlan& plan) {
  return absl::StrJoin(plan.steps, " ", [](std::string* out, const SequenceStep& step) {
    absl::StrAppend(out, step.id, ":", step.start, "+", step.num_tokens, step.samples ? "!" : "");
  });
}

// One token for each step that samples.
StepResult Answer(const StepPlan& plan, int32_t token = 7) {
  StepResult result{.epoch = plan.epoch};
  for (const SequenceStep& step : plan.steps) {
    if (step.samples) result.results.push_back({.row = step.row, .id = step.id, .token = token});
  }
  return result;
}

SequenceArrival Arrival(SequenceId id, int prompt_tokens, int max_tokens, int priority = 0) {
  return {.id = id,
          .prompt = std::vector<int32_t>(prompt_tokens, 1),
          .max_tokens = max_tokens,
          .priority = priority,
          .arrival_ns = static_cast<int64_t>(id)};
}

template <class... Events>
std::vector<SchedulerEvent> List(Events... events) {
  std::vector<SchedulerEvent> list;
  (list.push_back(std::move(events)), ...);
  return list;
}

// What the rules of a step do: arrivals in, plans out, each answered before the next.
struct Row {
  std::string name;
  SchedulerConfig config;
  SchedulerLimits limits;
  std::vector<SequenceArrival> arrivals;
  std::vector<std::string> plans;
};

constexpr SchedulerConfig kSmall = {.max_tokens_per_step = 8, .max_sequences = 4, .block_size = 4, .state_grid = 4,
                                    .max_stall = 0, .prefix_cache = false};
constexpr SchedulerLimits kRoomy = {.num_blocks = 64, .max_model_len = 32};

SchedulerConfig With(ChunkedPrefill chunked) {
  SchedulerConfig config = kSmall;
  config.chunked_prefill = chunked;
  return config;
}
SchedulerConfig With(Batching batching, int max_sequences) {
  SchedulerConfig config = kSmall;
  config.batching = batching;
  config.max_sequences = max_sequences;
  return config;
}
SchedulerConfig With(Policy policy, int max_sequences) {
  SchedulerConfig config = kSmall;
  config.policy = policy;
  config.max_sequences = max_sequences;
  return config;
}
SchedulerConfig WithBudget(int tokens, int block_size = 4) {
  SchedulerConfig config = kSmall;
  config.max_tokens_per_step = tokens;
  config.block_size = block_size;
  return config;
}

const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {
      {"chunks end on the grid and fill what decodes leave", With(ChunkedPrefill::kOn), kRoomy,
       {Arrival(1, 3, 3), Arrival(2, 10, 2)},
       {"1:0+3! 2:0+4", "1:3+1! 2:4+6!", "1:4+1! 2:10+1!", ""}},
      {"splitfuse fills every step", With(ChunkedPrefill::kSplitFuse), kRoomy,
       {Arrival(1, 3, 3), Arrival(2, 10, 2)},
       {"1:0+3! 2:0+5", "1:3+1! 2:5+5!", "1:4+1! 2:10+1!", ""}},
      {"splitfuse joins short prompts", With(ChunkedPrefill::kSplitFuse), kRoomy,
       {Arrival(1, 3, 1), Arrival(2, 3, 1), Arrival(3, 3, 1)},
       {"1:0+3! 2:0+3! 3:0+2", "3:2+1!", ""}},
      {"off runs prompts whole, a long one alone of its kind", With(ChunkedPrefill::kOff), kRoomy,
       {Arrival(1, 3, 3), Arrival(2, 10, 2), Arrival(3, 1, 1)},
       {"1:0+3!", "1:3+1! 2:0+10!", "1:4+1! 2:10+1! 3:0+1!", ""}},
      {"a budget below the grid still advances", WithBudget(3), kRoomy,
       {Arrival(1, 7, 1)}, {"1:0+3", "1:3+1", "1:4+3!", ""}},
      {"no more run than the budget can decode", WithBudget(2), kRoomy,
       {Arrival(1, 1, 3), Arrival(2, 1, 2), Arrival(3, 1, 1)},
       {"1:0+1! 2:0+1!", "1:1+1! 2:1+1!", "1:2+1! 3:0+1!", ""}},
      {"continuous fills the place of who ends", With(Batching::kContinuous, 2), kRoomy,
       {Arrival(1, 2, 1), Arrival(2, 2, 3), Arrival(3, 2, 1)},
       {"1:0+2! 2:0+2!", "2:2+1! 3:0+2!", "2:3+1!", ""}},
      {"static waits for the whole batch", With(Batching::kStatic, 2), kRoomy,
       {Arrival(1, 2, 1), Arrival(2, 2, 3), Arrival(3, 2, 1)},
       {"1:0+2! 2:0+2!", "2:2+1!", "2:3+1!", "3:0+2!", ""}},
      {"static closes a batch cut short by memory", With(Batching::kStatic, 4), {.num_blocks = 3, .max_model_len = 12},
       {Arrival(1, 4, 1), Arrival(2, 1, 3), Arrival(3, 1, 1)},
       {"1:0+4! 2:0+1!", "2:1+1!", "2:2+1!", "3:0+1!", ""}},
      {"a static batch fills over several steps", With(Batching::kStatic, 2), kRoomy,
       {Arrival(1, 8, 3), Arrival(2, 6, 1), Arrival(3, 1, 1)},
       {"1:0+8!", "1:8+1! 2:0+6!", "1:9+1!", "3:0+1!", ""}},
      {"nobody passes the first that does not fit", WithBudget(8), {.num_blocks = 3, .max_model_len = 12},
       {Arrival(1, 4, 2), Arrival(2, 8, 1), Arrival(3, 1, 1)},
       {"1:0+4!", "1:4+1!", "2:0+8!", "3:0+1!", ""}},
      {"state slots bound the running", WithBudget(8), {.num_blocks = 64, .num_state_slots = 1, .max_model_len = 32},
       {Arrival(1, 1, 2), Arrival(2, 1, 1)},
       {"1:0+1!", "1:1+1!", "2:0+1!", ""}},
      {"a model without K and V needs no blocks", WithBudget(8), {.num_state_slots = 2, .max_model_len = 32},
       {Arrival(1, 7, 2)}, {"1:0+7!", "1:7+1!", ""}},
      {"lower priority numbers run first", With(Policy::kPriority, 1), kRoomy,
       {Arrival(1, 1, 1, 2), Arrival(2, 1, 1, 1), Arrival(3, 1, 1, 1)},
       {"2:0+1!", "3:0+1!", "1:0+1!", ""}},
      {"fcfs does not look at priority", With(Policy::kFcfs, 1), kRoomy,
       {Arrival(1, 1, 1, 2), Arrival(2, 1, 1, 1)}, {"1:0+1!", "2:0+1!", ""}},
      {"the youngest is preempted and computed anew", WithBudget(8, 2), {.num_blocks = 4, .max_model_len = 8},
       {Arrival(1, 2, 5), Arrival(2, 2, 5)},
       {"1:0+2! 2:0+2!", "1:2+1! 2:2+1!", "1:3+1! 2:3+1!", "1:4+1!", "1:5+1!", "2:0+5!", "2:5+1!", ""}},
      {"the lowest priority is preempted, though older", [] {
         SchedulerConfig config = With(Policy::kPriority, 4);
         config.block_size = 2;
         return config;
       }(), {.num_blocks = 4, .max_model_len = 8},
       {Arrival(1, 2, 4, 1), Arrival(2, 2, 4, 0)},
       {"2:0+2! 1:0+2!", "2:2+1! 1:2+1!", "2:3+1! 1:3+1!", "2:4+1!", "1:0+5!", ""}},
      {"the context ends a sequence", WithBudget(8), {.num_blocks = 64, .max_model_len = 5},
       {Arrival(1, 3, 100)}, {"1:0+3!", "1:3+1!", ""}},
  };
  return rows;
}

TEST(Scheduler, PlansByTable) {
  for (const Row& row : Rows()) {
    SCOPED_TRACE(row.name);
    Scheduler scheduler(row.config, row.limits);
    std::vector<SchedulerEvent> events(row.arrivals.begin(), row.arrivals.end());
    EXPECT_THAT(scheduler.Apply(std::move(events), 1), IsEmpty());
    for (const std::string& expected : row.plans) {
      const StepPlan plan = scheduler.Plan();
      EXPECT_EQ(Text(plan), expected);
      scheduler.Commit(Answer(plan));
    }
    EXPECT_FALSE(scheduler.HasWork());
    EXPECT_EQ(scheduler.Stats().blocks_used, 0);
    EXPECT_EQ(scheduler.Stats().state_slots_used, 0);
  }
}

TEST(Scheduler, PromptsBesideDecodesLengthenAStepByMaxStallAtMost) {
  Scheduler scheduler({.max_tokens_per_step = 64, .max_sequences = 4, .block_size = 4, .state_grid = 4, .max_stall = 3},
                      {.num_blocks = 64, .max_model_len = 64});
  scheduler.Apply(List(Arrival(1, 2, 9)), 1);
  const StepPlan alone = scheduler.Plan();
  EXPECT_EQ(Text(alone), "1:0+2!");
  scheduler.Commit(Answer(alone));
  scheduler.Apply(List(Arrival(2, 40, 1)), 2);
  const StepPlan unknown = scheduler.Plan();  // no cost measured yet: 1 decode allows (3 - 1) * 1 prompt tokens
  EXPECT_EQ(Text(unknown), "1:2+1! 2:0+2");
  scheduler.Commit(Answer(unknown));
  scheduler.Apply(List(StepCost{.fixed_tokens = 4}), 3);
  EXPECT_EQ(Text(scheduler.Plan()), "1:3+1! 2:2+10");  // (3 - 1) * (4 + 1)
}

TEST(Scheduler, AdmissionBringsTokensAndBlocksOfTheWholePrompt) {
  Scheduler scheduler(kSmall, {.num_blocks = 8, .num_state_slots = 2, .max_model_len = 32});
  scheduler.Apply(List(SequenceArrival{.id = 5, .prompt = {3, 1, 4, 1, 5, 9, 2, 6}, .max_tokens = 2}), 1);
  const StepPlan plan = scheduler.Plan();
  ASSERT_EQ(plan.admitted.size(), 1u);
  EXPECT_THAT(plan.admitted[0].tokens, ElementsAre(3, 1, 4, 1, 5, 9, 2, 6));
  EXPECT_EQ(plan.admitted[0].prompt_tokens, 8);
  EXPECT_EQ(plan.admitted[0].state_slot, 0);
  ASSERT_EQ(plan.new_blocks.size(), 1u);
  EXPECT_THAT(plan.new_blocks[0].blocks, ElementsAre(0, 1, 2));  // 8 tokens and the one after
  EXPECT_EQ(plan.epoch, 1u);
  const SchedulerStats stats = scheduler.Stats();
  EXPECT_EQ(stats.running, 1);
  EXPECT_EQ(stats.blocks_used, 3);
  EXPECT_EQ(stats.state_slots_used, 1);
}

TEST(Scheduler, ReleasedRowsWaitForAPlanThatIsLaunched) {
  Scheduler scheduler(kSmall, kRoomy);
  scheduler.Apply(List(Arrival(1, 2, 1)), 1);
  scheduler.Commit(Answer(scheduler.Plan()));
  const StepPlan nothing = scheduler.Plan();
  EXPECT_TRUE(nothing.empty());
  EXPECT_EQ(nothing.epoch, 0u);
  EXPECT_THAT(scheduler.Commit({}), IsEmpty());  // an empty plan may be answered
  scheduler.Apply(List(Arrival(2, 2, 1)), 2);
  const StepPlan plan = scheduler.Plan();
  EXPECT_EQ(plan.epoch, 2u);
  EXPECT_THAT(plan.released_rows, ElementsAre(0));
  EXPECT_EQ(plan.admitted.at(0).row, 0);
}

TEST(Scheduler, StopIdEndsASequenceAndItsWastedStepIsDropped) {
  Scheduler scheduler(kSmall, kRoomy);
  SequenceArrival arrival = Arrival(1, 2, 5);
  arrival.stop_token_ids = {9};
  scheduler.Apply(List(arrival), 1);
  const StepPlan first = scheduler.Plan();
  const StepPlan second = scheduler.Plan();  // one decode more, its token still in flight
  EXPECT_EQ(Text(second), "1:2+1!");
  const auto committed = scheduler.Commit(Answer(first, 9));
  ASSERT_EQ(committed.size(), 1u);
  EXPECT_EQ(committed[0].token, 9);
  EXPECT_TRUE(committed[0].ended);
  EXPECT_EQ(committed[0].reason, EndReason::kStop);
  EXPECT_FALSE(scheduler.HasWork());
  EXPECT_EQ(scheduler.Stats().blocks_used, 1);  // the second step may write it

  scheduler.Apply(List(Arrival(2, 2, 2)), 2);
  const StepPlan third = scheduler.Plan();
  EXPECT_THAT(third.released_rows, IsEmpty());
  EXPECT_NE(third.admitted.at(0).row, first.admitted.at(0).row);
  EXPECT_THAT(scheduler.Commit(Answer(second)), IsEmpty());
  EXPECT_EQ(scheduler.Stats().blocks_used, 1);  // of sequence 2
  EXPECT_THAT(scheduler.Plan().released_rows, ElementsAre(first.admitted.at(0).row));
}

TEST(Scheduler, NoStepIsPlannedPastMaxTokens) {
  Scheduler scheduler(kSmall, kRoomy);
  scheduler.Apply(List(Arrival(1, 2, 2)), 1);
  const StepPlan first = scheduler.Plan(), second = scheduler.Plan();
  scheduler.Commit(Answer(first));
  EXPECT_TRUE(scheduler.Plan().empty());
  const auto committed = scheduler.Commit(Answer(second));
  ASSERT_EQ(committed.size(), 1u);
  EXPECT_EQ(committed[0].reason, EndReason::kLength);
}

TEST(Scheduler, CancelHoldsBlocksThatALaunchedStepMayTouch) {
  Scheduler scheduler(kSmall, kRoomy);
  scheduler.Apply(List(Arrival(1, 2, 5)), 1);
  const StepPlan plan = scheduler.Plan();
  const auto ended = scheduler.Apply(List(SequenceCancel{1}, SequenceCancel{1}, SequenceCancel{77}), 2);
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].reason, EndReason::kCancelled);
  EXPECT_EQ(ended[0].token, -1);
  EXPECT_EQ(scheduler.Stats().blocks_used, 1);
  EXPECT_TRUE(scheduler.Plan().empty());
  EXPECT_THAT(scheduler.Commit(Answer(plan)), IsEmpty());
  EXPECT_EQ(scheduler.Stats().blocks_used, 0);
}

TEST(Scheduler, CancelFreesBlocksAtOnceWhenNothingIsLaunched) {
  Scheduler scheduler(kSmall, kRoomy);
  scheduler.Apply(List(Arrival(1, 2, 5), Arrival(2, 2, 5)), 1);
  scheduler.Commit(Answer(scheduler.Plan()));
  scheduler.Apply(List(SequenceCancel{1}, Arrival(3, 2, 2), SequenceCancel{3}), 2);
  EXPECT_EQ(scheduler.Stats().blocks_used, 1);
  const StepPlan plan = scheduler.Plan();
  EXPECT_EQ(Text(plan), "2:2+1!");
  EXPECT_THAT(plan.released_rows, ElementsAre(0));
}

TEST(Scheduler, DeadlineEndsWaitingAndRunning) {
  Scheduler scheduler(With(Batching::kContinuous, 1), kRoomy);
  SequenceArrival running = Arrival(1, 2, 9), waiting = Arrival(2, 2, 9), late = Arrival(3, 2, 9);
  running.deadline_ns = 50;
  waiting.deadline_ns = 20;
  late.deadline_ns = 5;
  const auto at_once = scheduler.Apply(List(running, waiting, late), 10);
  ASSERT_EQ(at_once.size(), 1u);
  EXPECT_EQ(at_once[0].id, 3u);
  EXPECT_EQ(at_once[0].reason, EndReason::kDeadline);
  scheduler.Commit(Answer(scheduler.Plan()));
  EXPECT_THAT(scheduler.Apply({}, 19), IsEmpty());
  EXPECT_EQ(scheduler.Apply({}, 20).at(0).id, 2u);
  EXPECT_EQ(scheduler.Apply({}, 60).at(0).id, 1u);
  EXPECT_FALSE(scheduler.HasWork());
}

TEST(Scheduler, FailsOneSequenceAlone) {
  Scheduler scheduler(kSmall, kRoomy);
  scheduler.Apply(List(Arrival(1, 2, 5), Arrival(2, 2, 5)), 1);
  const StepPlan plan = scheduler.Plan();
  StepResult result = Answer(plan);
  result.results[0].token = -1;
  const auto committed = scheduler.Commit(result);
  ASSERT_EQ(committed.size(), 2u);
  EXPECT_TRUE(committed[0].ended);
  EXPECT_EQ(committed[0].reason, EndReason::kFailed);
  EXPECT_FALSE(committed[1].ended);
  EXPECT_EQ(Text(scheduler.Plan()), "2:2+1!");
}

TEST(Scheduler, ArrivalThatCanNeverRunFailsAlone) {
  Scheduler scheduler(kSmall, kRoomy);
  SequenceArrival empty = Arrival(2, 1, 1);
  empty.prompt.clear();
  const auto ended = scheduler.Apply(List(Arrival(1, 32, 1), empty, Arrival(3, 2, 0), Arrival(4, 2, 1)), 1);
  ASSERT_EQ(ended.size(), 3u);
  for (const Committed& one : ended) EXPECT_EQ(one.reason, EndReason::kFailed);
  EXPECT_EQ(Text(scheduler.Plan()), "4:0+2!");
}

// Blocks of 2, four in all; 1 and 2 hold two each when 1 wants its third.
TEST(Scheduler, PreemptedSequenceKeepsTheTokenInFlight) {
  Scheduler scheduler(WithBudget(8, 2), {.num_blocks = 4, .max_model_len = 8});
  scheduler.Apply(List(Arrival(1, 2, 5), Arrival(2, 2, 5)), 100);
  scheduler.Commit(Answer(scheduler.Plan(), 10));
  scheduler.Commit(Answer(scheduler.Plan(), 11));
  const StepPlan launched = scheduler.Plan();
  EXPECT_EQ(Text(launched), "1:3+1! 2:3+1!");
  const StepPlan stalled = scheduler.Plan();  // 2 is preempted; 1 waits for its blocks, which `launched` may touch
  EXPECT_TRUE(stalled.empty());
  EXPECT_EQ(scheduler.Stats().preemptions, 1u);
  EXPECT_EQ(scheduler.Stats().blocks_used, 4);
  EXPECT_EQ(scheduler.Commit(Answer(launched, 12)).size(), 2u);  // the preempted one's token too

  const StepPlan alone = scheduler.Plan();
  EXPECT_EQ(Text(alone), "1:4+1!");
  EXPECT_THAT(alone.released_rows, ElementsAre(1));
  scheduler.Commit(Answer(alone));
  scheduler.Commit(Answer(scheduler.Plan()));  // the last of 1
  scheduler.Apply({}, 200);
  const StepPlan again = scheduler.Plan();
  EXPECT_EQ(Text(again), "2:0+5!");
  EXPECT_THAT(again.admitted.at(0).tokens, ElementsAre(1, 1, 10, 11, 12));
  EXPECT_EQ(again.admitted.at(0).prompt_tokens, 2);
  EXPECT_EQ(scheduler.Info(2).num_preemptions, 1);
  EXPECT_EQ(scheduler.Info(2).first_scheduled_ns, 100);
}

TEST(Scheduler, InfoOutlivesTheEndUntilTheNextApply) {
  Scheduler scheduler(kSmall, kRoomy);
  scheduler.Apply(List(Arrival(1, 2, 1)), 100);
  EXPECT_EQ(scheduler.Info(1).first_scheduled_ns, 0);
  scheduler.Commit(Answer(scheduler.Plan()));
  EXPECT_EQ(scheduler.Info(1).first_scheduled_ns, 100);
  scheduler.Apply({}, 200);
  EXPECT_EQ(scheduler.Info(1).first_scheduled_ns, 0);
}

TEST(Scheduler, CanEverRunNamesTheLimit) {
  const struct {
    int64_t prompt_tokens, max_tokens;
    const char* words;  // empty: it can
  } rows[] = {
      {1, 1, ""},
      {20, 12, ""},
      {20, 13, "context of 32"},
      {0, 1, "prompt is empty"},
      {1, 0, "max_tokens is 0"},
      {INT64_MAX, INT64_MAX, "context of 32"},
      {1, INT64_MAX, "context of 32"},
  };
  const Scheduler scheduler(kSmall, kRoomy);
  for (const auto& row : rows) {
    const absl::Status status = scheduler.CanEverRun(row.prompt_tokens, row.max_tokens);
    EXPECT_EQ(status.ok(), row.words[0] == '\0') << row.prompt_tokens << " " << row.max_tokens;
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.words));
  }
  const Scheduler small(kSmall, {.num_blocks = 2, .max_model_len = 32});
  EXPECT_TRUE(small.CanEverRun(4, 4).ok());
  EXPECT_THAT(std::string(small.CanEverRun(4, 5).message()), HasSubstr("cache of 2 blocks"));
}

}  // namespace
}  // namespace braid
