#include "server/health.h"

#include "gtest/gtest.h"

namespace braid {
namespace {

TEST(EngineMoves, AsLongAsTheStepIsYoung) {
  const EngineStats stats{.steps = 3, .busy = true, .shown_ns = 1000};
  EXPECT_TRUE(EngineMoves(stats, 1000, 60));
  EXPECT_TRUE(EngineMoves(stats, 1060, 60));
  EXPECT_FALSE(EngineMoves(stats, 1061, 60));  // also when nobody has asked before
}

TEST(EngineMoves, OrHasNothingToDo) { EXPECT_TRUE(EngineMoves({.steps = 3, .shown_ns = 1000}, 1'000'000, 60)); }

}  // namespace
}  // namespace braid
