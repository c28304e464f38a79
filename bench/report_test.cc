#include "bench/report.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace braid::bench {
namespace {

TEST(Percentile, InterpolatesBetweenNeighbours) {
  EXPECT_EQ(Percentile({}, 0.5), 0);
  EXPECT_EQ(Percentile({3}, 0.99), 3);
  EXPECT_EQ(Percentile({1, 2, 3, 4}, 0.5), 2.5);
  EXPECT_EQ(Percentile({1, 2, 3, 4}, 0), 1);
  EXPECT_EQ(Percentile({1, 2, 3, 4}, 1), 4);
  std::vector<double> hundred(101);
  for (int i = 0; i <= 100; ++i) hundred[i] = i;
  EXPECT_DOUBLE_EQ(Percentile(hundred, 0.9), 90);
  EXPECT_DOUBLE_EQ(Percentile(hundred, 0.995), 99.5);
}

TEST(Describe, SortsFirst) {
  const Distribution d = Describe({4, 1, 3, 2});
  EXPECT_EQ(d.count, 4u);
  EXPECT_EQ(d.mean, 2.5);
  EXPECT_EQ(d.p50, 2.5);
  EXPECT_EQ(d.max, 4);
}

CallResult Good(double ttft, double e2e, int tokens) {
  CallResult r;
  r.ttft_s = ttft, r.e2e_s = e2e, r.output_tokens = tokens, r.prompt_tokens = 10;
  return r;
}

TEST(Report, CountsOnlyWhatSucceededAndNamesWhatFailed) {
  CallResult refused;
  refused.error = "http 503";
  const Report r = Summarize({Good(0.1, 1.1, 11), refused, refused, Good(0.3, 0.3, 1)}, 2.0, {});
  EXPECT_EQ(r.requests, 4);
  EXPECT_EQ(r.succeeded, 2);
  EXPECT_EQ(r.errors.at("http 503"), 2);
  EXPECT_EQ(r.output_tokens, 12);
  EXPECT_DOUBLE_EQ(r.PerSecond(static_cast<double>(r.output_tokens)), 6);
  EXPECT_EQ(r.time_per_token_s.count, 1u);  // a single token has no gap
  EXPECT_DOUBLE_EQ(r.time_per_token_s.mean, 0.1);
  EXPECT_THAT(TableOf(r), testing::HasSubstr("2 x http 503"));
}

TEST(Report, GoodputNeedsEveryTarget) {
  const std::vector<CallResult> results = {Good(0.1, 1.1, 11), Good(0.5, 1.5, 11), Good(0.1, 3.1, 11)};
  EXPECT_EQ(Summarize(results, 1, {.ttft_s = 0.2}).good, 2);
  EXPECT_EQ(Summarize(results, 1, {.ttft_s = 0.2, .itl_s = 0.15}).good, 1);
  EXPECT_FALSE(JsonOf(Summarize(results, 1, {})).contains("goodput_requests_per_s"));
  EXPECT_EQ(JsonOf(Summarize(results, 1, {.itl_s = 0.15}))["goodput_requests_per_s"], 2);
}

TEST(Report, AnEmptyRunIsAllZeros) {
  const Report r = Summarize({}, 0, {});
  EXPECT_EQ(r.PerSecond(5), 0);
  EXPECT_EQ(r.e2e_s.count, 0u);
}

}  // namespace
}  // namespace braid::bench
