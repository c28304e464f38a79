#include "engine/step_cost_model.h"

#include <algorithm>

namespace braid {
namespace {

constexpr double kForgetting = 0.99;      // a step counts half after 69 more
constexpr double kMaxFixedTokens = 4096;
constexpr double kLeastSpread = 0.05;     // relative variance of tokens below which a and b cannot be told apart

}  // namespace

void StepCostModel::Observe(int tokens, double seconds) {
  if (seconds <= 0) return;
  const double n = tokens, t = seconds, weight = 1 / (t * t);
  w_ = kForgetting * w_ + weight;
  wn_ = kForgetting * wn_ + weight * n;
  wnn_ = kForgetting * wnn_ + weight * n * n;
  wt_ = kForgetting * wt_ + weight * t;
  wnt_ = kForgetting * wnt_ + weight * n * t;
  const double determinant = w_ * wnn_ - wn_ * wn_;
  if (determinant < kLeastSpread * wn_ * wn_) return;
  const double b = (w_ * wnt_ - wn_ * wt_) / determinant, a = (wt_ - b * wn_) / w_;
  cost_.fixed_tokens = b > 0 ? std::clamp(a / b, 0.0, kMaxFixedTokens) : kMaxFixedTokens;
}

}  // namespace braid
