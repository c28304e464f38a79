#include "server/health.h"

#include "gtest/gtest.h"

namespace braid {
namespace {

EngineStats Busy(uint64_t steps) { return {.steps = steps, .busy = true}; }

TEST(EngineHealth, IsLiveWhileStepsEnd) {
  EngineHealth health(60);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(health.IsLive(Busy(i), i * 50));
}

TEST(EngineHealth, AStepThatDoesNotEndIsFatalPastTheLimit) {
  EngineHealth health(60);
  EXPECT_TRUE(health.IsLive(Busy(3), 1000));
  EXPECT_TRUE(health.IsLive(Busy(3), 1060));
  EXPECT_FALSE(health.IsLive(Busy(3), 1061));
  EXPECT_TRUE(health.IsLive(Busy(4), 1062));
}

TEST(EngineHealth, IdlenessIsNoFault) {
  EngineHealth health(60);
  EXPECT_TRUE(health.IsLive({.steps = 3}, 0));
  EXPECT_TRUE(health.IsLive({.steps = 3}, 1000));
  EXPECT_TRUE(health.IsLive(Busy(3), 1050));  // work came a moment ago
}

}  // namespace
}  // namespace braid
