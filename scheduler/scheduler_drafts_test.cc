// Who gets room for guesses, and what becomes of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/scheduler.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr SchedulerConfig kConfig = {.max_tokens_per_step = 16, .max_sequences = 4, .block_size = 4, .state_grid = 4,
                                     .prefix_cache = false, .max_drafts = 3};
constexpr SchedulerLimits kLimits = {.num_blocks = 8, .num_state_slots = 0, .max_model_len = 32};

SequenceArrival Arrival(SequenceId id, int prompt_tokens, int max_tokens) {
  return {.id = id,
          .prompt = std::vector<int32_t>(prompt_tokens, 1),
          .max_tokens = max_tokens,
          .stop_token_ids = {99},
          .arrival_ns = static_cast<int64_t>(id)};
}

std::vector<SchedulerEvent> Drafts(SequenceId id, std::vector<int32_t> tokens) {
  const int count = static_cast<int>(tokens.size());
  return {SequenceDrafts{id, count, std::move(tokens)}};
}

// The tokens that the plan's only sampling step gave.
StepResult Answer(const StepPlan& plan, const std::vector<int32_t>& tokens) {
  StepResult result{.epoch = plan.epoch, .results = {}};
  for (const SequenceStep& step : plan.steps) {
    for (const int32_t token : tokens) {
      if (step.samples) result.results.push_back({.row = step.row, .id = step.id, .token = token});
    }
  }
  return result;
}

std::vector<int32_t> TokensOf(const std::vector<Committed>& committed) {
  std::vector<int32_t> tokens;
  for (const Committed& one : committed) tokens.push_back(one.token);
  return tokens;
}

// A scheduler in which sequences with prompts of 2 tokens have one token of output.
class Decoding {
 public:
  explicit Decoding(int num_sequences, int max_tokens = 20, SchedulerConfig config = kConfig,
                    SchedulerLimits limits = kLimits)
      : scheduler(config, limits) {
    std::vector<SchedulerEvent> arrivals;
    for (int id = 1; id <= num_sequences; ++id) arrivals.push_back(Arrival(id, 2, max_tokens));
    scheduler.Apply(std::move(arrivals), 1);
    scheduler.Commit(Answer(scheduler.Plan(), {5}));
  }
  Scheduler scheduler;
};

TEST(SchedulerDrafts, CursorGoesBackOverThoseThatDoNotHold) {
  Decoding one(1);
  one.scheduler.Apply(Drafts(1, {6, 7, 8, 9}), 2);
  StepPlan plan = one.scheduler.Plan();
  EXPECT_EQ(plan.steps[0].start, 2);
  EXPECT_EQ(plan.steps[0].num_tokens, 4);
  EXPECT_THAT(plan.steps[0].drafts, ElementsAre(6, 7, 8));  // max_drafts
  EXPECT_THAT(TokensOf(one.scheduler.Commit(Answer(plan, {6, 3}))), ElementsAre(6, 3));
  plan = one.scheduler.Plan();
  EXPECT_EQ(plan.steps[0].start, 4);  // behind the token and the one draft that held
  EXPECT_THAT(plan.steps[0].drafts, IsEmpty());  // they were for one plan only
}

TEST(SchedulerDrafts, EndAmongThemDropsTheRest) {
  Decoding one(1);
  one.scheduler.Apply(Drafts(1, {6, 99, 8}), 2);
  const std::vector<Committed> news = one.scheduler.Commit(Answer(one.scheduler.Plan(), {6, 99, 8, 4}));
  EXPECT_THAT(TokensOf(news), ElementsAre(6, 99));
  EXPECT_TRUE(news[1].ended);
  EXPECT_EQ(news[1].reason, EndReason::kStop);
  EXPECT_FALSE(one.scheduler.HasWork());
  EXPECT_EQ(one.scheduler.Stats().blocks_used, 0);
}

TEST(SchedulerDrafts, StayBelowTheLongestLength) {
  Decoding one(1, 3);
  one.scheduler.Apply(Drafts(1, {6, 7, 8}), 2);
  const StepPlan plan = one.scheduler.Plan();
  EXPECT_THAT(plan.steps[0].drafts, ElementsAre(6));
  const std::vector<Committed> news = one.scheduler.Commit(Answer(plan, {6, 7}));
  EXPECT_THAT(TokensOf(news), ElementsAre(6, 7));
  EXPECT_EQ(news[1].reason, EndReason::kLength);
}

TEST(SchedulerDrafts, TakeWhatPromptsLeaveOfTheBudget) {
  std::vector<SchedulerEvent> events = Drafts(1, {6, 7, 8});
  events.push_back(Arrival(2, 13, 4));
  SchedulerConfig config = kConfig;
  config.max_stall = 0;
  Decoding unbound(1, 20, config);
  unbound.scheduler.Apply(std::move(events), 2);
  const StepPlan plan = unbound.scheduler.Plan();
  ASSERT_EQ(plan.steps.size(), 2u);
  EXPECT_EQ(plan.steps[1].num_tokens, 13);
  EXPECT_THAT(plan.steps[0].drafts, ElementsAre(6, 7));
  EXPECT_EQ(plan.num_tokens(), 16);
}

TEST(SchedulerDrafts, TakeFreeBlocksButPreemptNobody) {
  SchedulerLimits limits = kLimits;
  limits.num_blocks = 3;
  limits.max_model_len = 12;
  Decoding two(2, 10, kConfig, limits);  // a block each, one free
  std::vector<SchedulerEvent> events = Drafts(1, {6, 7, 8});
  events.push_back(SequenceDrafts{2, 3, {6, 7, 8}});
  two.scheduler.Apply(std::move(events), 2);
  const StepPlan plan = two.scheduler.Plan();
  ASSERT_EQ(plan.steps.size(), 2u);
  EXPECT_EQ(plan.steps[0].drafts.size(), 3u);
  EXPECT_EQ(plan.steps[1].drafts.size(), 1u);  // to the end of its block
  EXPECT_EQ(two.scheduler.Stats().preemptions, 0u);
}

TEST(SchedulerDrafts, SequenceWithSomeInFlightSitsAPlanOut) {
  Decoding one(1);
  one.scheduler.Apply(Drafts(1, {6, 7}), 2);
  const StepPlan plan = one.scheduler.Plan();
  EXPECT_TRUE(one.scheduler.Plan().empty());
  EXPECT_THAT(TokensOf(one.scheduler.Commit(Answer(plan, {3}))), ElementsAre(3));
  const StepPlan next = one.scheduler.Plan();
  EXPECT_EQ(next.steps[0].start, 3);
  one.scheduler.Apply(Drafts(1, {6, 7}), 3);  // behind a token not yet known
  EXPECT_THAT(one.scheduler.Plan().steps[0].drafts, IsEmpty());
}

TEST(SchedulerDrafts, OfUnknownSequencesAreIgnored) {
  Decoding one(1);
  one.scheduler.Apply(Drafts(77, {6}), 2);
  EXPECT_THAT(one.scheduler.Plan().steps[0].drafts, IsEmpty());
}

TEST(SchedulerDrafts, OfTheDraftHeadAreANumberAlone) {
  Decoding one(1, 5);
  one.scheduler.Apply({SequenceDrafts{.id = 1, .count = 7, .tokens = {}}}, 2);
  StepPlan plan = one.scheduler.Plan();
  EXPECT_EQ(plan.steps[0].num_drafts, 3);
  EXPECT_EQ(plan.steps[0].num_tokens, 4);
  EXPECT_THAT(plan.steps[0].drafts, IsEmpty());
  EXPECT_THAT(TokensOf(one.scheduler.Commit(Answer(plan, {6, 3}))), ElementsAre(6, 3));
  EXPECT_EQ(one.scheduler.Plan().steps[0].num_drafts, 0);
}

}  // namespace
}  // namespace braid
