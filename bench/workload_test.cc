#include "bench/workload.h"

#include <algorithm>

#include "gtest/gtest.h"

namespace braid::bench {
namespace {

WordCosts OneEach() { return {std::vector<double>(Words().size(), 1.0), 0}; }

TEST(LengthRange, ReadsANumberOrTwo) {
  EXPECT_EQ(ParseLengthRange("128")->high, 128);
  EXPECT_EQ(ParseLengthRange("64:256")->low, 64);
  for (const char* wrong : {"", "0", "-1", "5:2", "a", "1:", ":3", "1:2:3", "99999999999"}) {
    EXPECT_FALSE(ParseLengthRange(wrong).ok()) << wrong;
  }
}

TEST(Workload, PromptsHaveAsManyWordsAsTokensAsked) {
  WorkloadOptions options{.requests = 50, .prompt_tokens = {5, 40}, .output_tokens = {1, 9}, .seed = 3};
  for (const PlannedRequest& r : PlanRequests(options, OneEach())) {
    EXPECT_EQ(std::count(r.prompt.begin(), r.prompt.end(), ' '), r.prompt_tokens);
    EXPECT_GE(r.output_tokens, 1);
    EXPECT_LE(r.output_tokens, 9);
    EXPECT_EQ(r.start_s, 0);
  }
}

TEST(Workload, LeavesRoomForTheTemplate) {
  WordCosts costs = OneEach();
  costs.fixed = 7;
  WorkloadOptions options{.requests = 1, .prompt_tokens = {20, 20}};
  const auto plan = PlanRequests(options, costs);
  EXPECT_EQ(std::count(plan[0].prompt.begin(), plan[0].prompt.end(), ' '), 13);
}

TEST(Workload, PromptsShareThePrefixAndDifferAfterIt) {
  WorkloadOptions options{.requests = 2, .prompt_tokens = {30, 30}, .shared_prefix = 20};
  const auto plan = PlanRequests(options, OneEach());
  const auto [a, b] = std::mismatch(plan[0].prompt.begin(), plan[0].prompt.end(), plan[1].prompt.begin());
  EXPECT_GE(std::count(plan[0].prompt.begin(), a, ' '), 20);
  EXPECT_NE(a, plan[0].prompt.end());
}

TEST(Workload, IdsStayInTheVocabularyAndShareThePrefix) {
  WorkloadOptions options{.requests = 2, .prompt_tokens = {30, 30}, .shared_prefix = 20, .vocabulary = 100};
  const auto plan = PlanRequests(options, OneEach());
  for (const auto& r : plan) {
    ASSERT_EQ(r.ids.size(), 30u);
    for (const int id : r.ids) EXPECT_TRUE(id >= 0 && id < 100);
    EXPECT_TRUE(r.prompt.empty());
  }
  EXPECT_TRUE(std::equal(plan[0].ids.begin(), plan[0].ids.begin() + 20, plan[1].ids.begin()));
  EXPECT_NE(plan[0].ids, plan[1].ids);
}

TEST(Workload, SameSeedSameRun) {
  WorkloadOptions options{.requests = 20, .prompt_tokens = {5, 40}, .seed = 9, .rate = 3};
  const auto a = PlanRequests(options, OneEach()), b = PlanRequests(options, OneEach());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].prompt, b[i].prompt);
    EXPECT_EQ(a[i].start_s, b[i].start_s);
  }
}

TEST(Workload, FollowsATrace) {
  WorkloadOptions options;
  options.trace = {{0, 4, 2}, {1.5, 8, 3}};
  const auto plan = PlanRequests(options, OneEach());
  ASSERT_EQ(plan.size(), 2u);
  EXPECT_EQ(plan[1].start_s, 1.5);
  EXPECT_EQ(plan[1].output_tokens, 3);
  EXPECT_EQ(std::count(plan[1].prompt.begin(), plan[1].prompt.end(), ' '), 8);
}

}  // namespace
}  // namespace braid::bench
