#include "engine/drafting/draft_length.h"

#include <algorithm>
#include <cmath>

namespace braid {
namespace {

constexpr double kMemory = 250;       // trials that a chance is learnt from
constexpr double kLateMemory = 32;
constexpr double kSurprise = 2.7;       // standard deviations between late trials and all: the chance has changed
constexpr double kLeastVariance = 0.003;  // of a chance near 0 or 1
constexpr double kPriorTrials = 2;
constexpr double kFirstChance = 0.5;  // before any trial

constexpr double kLineSteps = 4;      // that the line through all arms counts as, beside an arm's own
constexpr double kFixedSteps = 9;     // a draft of every decode is taken to cost a tenth of a step before any is known
constexpr double kArmMemory = 150;     // steps that a mean is taken over
constexpr double kArmForgetting = 0.9995;  // of an arm's weight with each step of others
constexpr double kAlike = 0.25;       // of its arm's mean: a step further from it is far
constexpr double kOutlier = 1.5;      // of what was expected: a step counts as no more
constexpr double kFarDeviations = 3;  // or so many mean deviations
constexpr int kFarSteps = 3;
constexpr double kFewSteps = 4;

constexpr double kTryingShare = 0.006;    // of the time, to be lost at most
constexpr double kMaxBudgetSeconds = 0.2;
constexpr int64_t kTryAgainSteps = 16;
constexpr int64_t kFirstTrySteps = 64;    // as if an arm that was never tried had been so long ago
constexpr double kLeastLoss = 0.01;       // of a step: arms closer to the best than this are tried equally often

}  // namespace

// ---- what holds

void DraftAcceptance::Observe(int place, int trials, int held) {
  if (trials == 0 || !Take(places_[place], trials, held)) return;
  for (int i = place + 1; i < kMaxDrafts; ++i) {  // what was true there is as old
    const double share = std::min(1.0, kPriorTrials / std::max(places_[i].trials, 1.0));
    places_[i].trials *= share;
    places_[i].held *= share;
  }
}

// Returns whether the chance has changed.
bool DraftAcceptance::Take(Place& place, int trials, int held) {
  const double share = static_cast<double>(held) / trials;
  const auto add = [&](double memory, double& all, double& good) {
    const double kept = std::pow(1 - 1 / memory, trials), added = memory * (1 - kept);
    all = all * kept + added;
    good = good * kept + added * share;
  };
  add(kMemory, place.trials, place.held);
  add(kLateMemory, place.late_trials, place.late_held);
  const double chance = place.held / place.trials, late = place.late_held / place.late_trials;
  const double variance = (chance * (1 - chance) + kLeastVariance) / place.late_trials;
  if ((late - chance) * (late - chance) < kSurprise * kSurprise * variance) return false;
  place.trials = place.late_trials = trials;
  place.held = place.late_held = held;
  return true;
}

// A place that is seldom reached is taken to be like the one before it.
ByDrafts DraftAcceptance::ExpectedTokens() const {
  ByDrafts tokens = {1};
  double chance = kFirstChance, all_hold = 1;
  for (int i = 0; i < kMaxDrafts; ++i) {
    chance = (places_[i].held + kPriorTrials * chance) / (places_[i].trials + kPriorTrials);
    all_hold *= chance;
    tokens[i + 1] = tokens[i] + all_hold;
  }
  return tokens;
}

// ---- what it costs

// Numbers of decodes up to 16 each, above in classes of an eighth.
int DraftLength::LevelOf(int decodes) {
  if (decodes <= 16) return decodes;
  const int exponent = static_cast<int>(std::floor(8 * std::log2(decodes / 16.0)));
  return static_cast<int>(std::lround(16 * std::exp2(exponent / 8.0)));
}

// Up to a factor, where nothing was measured.
double DraftLength::PriorCost(int level, int drafts) const {
  const double fixed = fixed_tokens_ > 0 ? fixed_tokens_ : kFixedSteps * level;
  return fixed + level * (1.0 + drafts);
}

// A line through the level's arms by least squares, drawn a little to the prior's slope, and each arm's own mean.
ByDrafts DraftLength::FitOf(int level, const Arms& arms) const {
  double weight = 0, drafts = 0, seconds = 0, prior = 0;
  for (int k = 0; k <= limit_; ++k) {
    weight += arms[k].weight;
    drafts += arms[k].weight * k;
    seconds += arms[k].weight * arms[k].seconds;
    prior += arms[k].weight * PriorCost(level, k);
  }
  drafts /= weight;
  seconds /= weight;
  double spread = 1, slope = seconds / (prior / weight) * level;
  for (int k = 0; k <= limit_; ++k) {
    spread += arms[k].weight * (k - drafts) * (k - drafts);
    slope += arms[k].weight * (k - drafts) * (arms[k].seconds - seconds);
  }
  ByDrafts costs = {};
  for (int k = 0; k <= limit_; ++k) {
    const double line = std::max(seconds + slope / spread * (k - drafts), 0.1 * seconds);
    costs[k] = (kLineSteps * line + arms[k].weight * arms[k].seconds) / (kLineSteps + arms[k].weight);
  }
  return costs;
}

// A level not seen yet takes after the nearest one.
ByDrafts DraftLength::CostsAt(int level) const {
  ByDrafts costs = {};
  const auto near = std::min_element(levels_.begin(), levels_.end(), [&](const auto& a, const auto& b) {
    return std::abs(a.first - level) < std::abs(b.first - level);
  });
  if (near != levels_.end()) costs = FitOf(near->first, near->second);
  for (int k = 0; k <= limit_; ++k) {
    costs[k] = near != levels_.end() ? costs[k] * PriorCost(level, k) / PriorCost(near->first, k) : PriorCost(level, k);
  }
  return costs;
}

// ---- the choice

// The best arm, or one whose turn to be tried has come: the longer ago and the less it loses, the sooner.
int DraftLength::Choose(int decodes) {
  const int level = LevelOf(std::max(decodes, 1));
  const ByDrafts costs = CostsAt(level), tokens = acceptance_.ExpectedTokens();
  int best = 0;
  for (int k = 1; k <= limit_; ++k) {
    if (tokens[k] * costs[best] > tokens[best] * costs[k]) best = k;
  }
  if (levels_.empty()) return best;  // the costs have no unit yet
  // Seconds that a step with k drafts loses.
  const auto loss_of = [&](int k) { return costs[k] - tokens[k] * costs[best] / tokens[best]; };
  const auto found = levels_.find(level);
  int chosen = best;
  double most = 0;
  for (int k = 0; k <= limit_; ++k) {
    const int64_t age = found != levels_.end() ? steps_ - found->second[k].last_step : kFirstTrySteps;
    const double loss = loss_of(k) / costs[k] + kLeastLoss, score = static_cast<double>(age) / (loss * loss);
    if (k == best || age < kTryAgainSteps || score <= most) continue;
    most = score;
    chosen = std::min(loss_of(k), kMaxBudgetSeconds / 2) <= budget_seconds_ ? k : best;
  }
  budget_seconds_ -= loss_of(chosen);
  return chosen;
}

void DraftLength::Observe(const DraftedStep& step) {
  if (step.decodes == 0 || step.seconds <= 0) return;
  ++steps_;
  fixed_tokens_ = step.fixed_tokens;
  int carriers = step.decodes;
  for (int i = 0; i < step.drafts; ++i) {
    acceptance_.Observe(i, carriers, step.accepted_at[i]);
    carriers = step.accepted_at[i];
  }
  if (!step.alone) return;
  budget_seconds_ += kTryingShare * step.seconds;
  budget_seconds_ = std::min(budget_seconds_, kMaxBudgetSeconds);
  const int level = LevelOf(step.decodes);
  const bool known = levels_.contains(level) || (!levels_.empty() && fixed_tokens_ > 0);
  const double expected = known ? CostsAt(level)[step.drafts] : step.seconds;
  Arms& arms = levels_.try_emplace(level, NewArms()).first->second;
  for (Arm& arm : arms) arm.weight *= kArmForgetting;
  Learn(arms, arms[step.drafts], std::min(step.seconds, kOutlier * expected));
}

DraftLength::Arms DraftLength::NewArms() const {
  Arms arms;
  for (Arm& arm : arms) arm.last_step = steps_ - kFirstTrySteps;
  return arms;
}

// A step far from its arm's mean may be chance; some in a row, all longer or all shorter, tell that the level's costs
// have changed.
void DraftLength::Learn(Arms& arms, Arm& arm, double seconds) {
  const double far = std::max(kAlike * arm.seconds, kFarDeviations * arm.deviation);
  const int side = seconds > arm.seconds + far ? 1 : seconds < arm.seconds - far ? -1 : 0;
  arm.far_steps = side == 0 ? 0 : side * arm.far_steps > 0 ? arm.far_steps + side : side;
  if (arm.weight > 0 && std::abs(arm.far_steps) == kFarSteps) arms = NewArms();
  if (arm.weight <= kFewSteps && side < 0) arm = {};  // the first ones were chance
  if (arm.weight > kFewSteps) seconds = std::min(seconds, arm.seconds + far);
  arm.weight = std::min(arm.weight + 1, kArmMemory);
  arm.deviation += (std::abs(seconds - arm.seconds) - arm.deviation) / arm.weight;
  arm.seconds += (seconds - arm.seconds) / arm.weight;
  if (arm.weight == 1) arm.deviation = kAlike * seconds;
  arm.last_step = steps_;
}

}  // namespace braid
