#include "bench/arrivals.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace braid::bench {
namespace {

struct Moments {
  double mean, deviation;
};

Moments GapMoments(const std::vector<double>& times) {
  double sum = 0, squares = 0;
  const int gaps = static_cast<int>(times.size()) - 1;
  for (int i = 0; i < gaps; ++i) {
    const double gap = times[i + 1] - times[i];
    sum += gap, squares += gap * gap;
  }
  const double mean = sum / gaps;
  return {mean, std::sqrt(squares / gaps - mean * mean)};
}

TEST(Arrivals, PoissonGapsHaveMeanAndDeviationOfOneOverRate) {
  const Moments m = GapMoments(ArrivalTimes(50'001, 20, 1, 7));
  EXPECT_NEAR(m.mean, 0.05, 0.001);
  EXPECT_NEAR(m.deviation, 0.05, 0.002);
}

TEST(Arrivals, BurstinessKeepsTheRateAndSetsTheSpread) {
  for (const double shape : {0.25, 4.0}) {
    const Moments m = GapMoments(ArrivalTimes(100'001, 10, shape, 3));
    EXPECT_NEAR(m.mean, 0.1, 0.004) << shape;
    EXPECT_NEAR(m.deviation, 0.1 / std::sqrt(shape), 0.01) << shape;
  }
}

TEST(Arrivals, SameSeedGivesTheSameTimesAndTheyNeverFall) {
  const auto times = ArrivalTimes(1000, 5, 0.5, 42);
  EXPECT_EQ(times, ArrivalTimes(1000, 5, 0.5, 42));
  EXPECT_NE(times, ArrivalTimes(1000, 5, 0.5, 43));
  EXPECT_EQ(times[0], 0);
  EXPECT_TRUE(std::is_sorted(times.begin(), times.end()));
}

TEST(Arrivals, NoneAndOneAreFine) {
  EXPECT_TRUE(ArrivalTimes(0, 1, 1, 0).empty());
  EXPECT_EQ(ArrivalTimes(1, 1, 1, 0), std::vector<double>{0});
}

TEST(Trace, ReadsLinesAndSkipsEmptyOnes) {
  const auto rows = ParseTrace("{\"time_s\":0,\"prompt_tokens\":5,\"output_tokens\":2}\n\n"
                               "{\"time_s\":1.5,\"prompt_tokens\":7,\"output_tokens\":1}\n");
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 2u);
  EXPECT_EQ((*rows)[1].time_s, 1.5);
  EXPECT_EQ((*rows)[1].prompt_tokens, 7);
}

TEST(Trace, NamesTheLineAndTheFieldThatIsWrong) {
  const std::string good = "{\"time_s\":1,\"prompt_tokens\":5,\"output_tokens\":2}\n";
  const struct { std::string line, words; } cases[] = {
      {"{\"time_s\":2,\"prompt_tokens\":5}", "line 2: output_tokens"},
      {"{\"time_s\":0.5,\"prompt_tokens\":5,\"output_tokens\":2}", "line 2: time_s"},
      {"{\"time_s\":2,\"prompt_tokens\":0,\"output_tokens\":2}", "at least 1"},
      {"{\"time_s\":2,\"prompt_tokens\":1e30,\"output_tokens\":2}", "prompt_tokens"},
      {"[]", "an object"},
      {"{", "line 2"},
  };
  for (const auto& c : cases) {
    const auto rows = ParseTrace(good + c.line);
    ASSERT_FALSE(rows.ok()) << c.line;
    EXPECT_THAT(std::string(rows.status().message()), testing::HasSubstr(c.words));
  }
  EXPECT_FALSE(ParseTrace("\n").ok());
}

}  // namespace
}  // namespace braid::bench
