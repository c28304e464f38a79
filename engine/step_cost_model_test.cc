#include "engine/step_cost_model.h"

#include <gtest/gtest.h>

#include <random>

namespace braid {
namespace {

TEST(StepCostModel, FindsFixedCostUnderNoise) {
  StepCostModel model;
  std::mt19937 random(1);
  std::uniform_real_distribution<double> noise(0.9, 1.1);
  for (int i = 0; i < 500; ++i) {
    const int tokens = 1 + static_cast<int>(random() % 64);
    model.Observe(tokens, (6e-3 + 1e-3 * tokens) * noise(random));
  }
  EXPECT_NEAR(model.cost().fixed_tokens, 6, 1.5);
}

TEST(StepCostModel, FollowsAChange) {
  StepCostModel model;
  for (int i = 0; i < 500; ++i) model.Observe(1 + i % 64, 20e-3 + 1e-3 * (1 + i % 64));
  for (int i = 0; i < 1000; ++i) model.Observe(1 + i % 64, 2e-3 + 1e-3 * (1 + i % 64));
  EXPECT_NEAR(model.cost().fixed_tokens, 2, 0.2);
}

TEST(StepCostModel, SaysNothingOfStepsThatAreAllAlike) {
  StepCostModel model;
  for (int i = 0; i < 100; ++i) model.Observe(8, 5e-3 + 1e-6 * i);
  EXPECT_EQ(model.cost().fixed_tokens, 0);
}

}  // namespace
}  // namespace braid
