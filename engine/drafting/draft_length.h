// How many drafts each decode of a step carries, none included: as many as give the most tokens a second, by what steps
// have cost and what of their drafts has held. A small share of the time (0.6 %) may be lost by trying other lengths, so
// that a change is seen; all else goes to the length that looks best.
#pragma once

#include <array>
#include <map>

#include "engine/engine_config.h"

namespace braid {

using ByDrafts = std::array<double, kMaxDrafts + 1>;  // one number for each number of drafts

// What a step with decodes showed.
struct DraftedStep {
  int decodes = 0;         // that could carry drafts
  int drafts = 0;          // that each was to carry
  bool alone = true;       // no prompt tokens beside them: its time counts
  double seconds = 0;
  double fixed_tokens = 0; // StepCost of the scheduler, for lengths not tried yet
  std::array<int, kMaxDrafts> accepted_at = {};  // decodes whose draft at the place held
};

// Chances of the drafts at each place to hold, where those before hold. Thread: engine.
class DraftAcceptance {
 public:
  // Of `trials` decodes that carried a draft at `place`, and had those before accepted, `held` accepted it.
  void Observe(int place, int trials, int held);
  // Tokens that a decode gives in a step.
  ByDrafts ExpectedTokens() const;

 private:
  struct Place {
    double trials = 0, held = 0;              // forgotten over some hundred trials
    double late_trials = 0, late_held = 0;    // over some ten: tells when the chance has changed
  };
  bool Take(Place& place, int trials, int held);

  std::array<Place, kMaxDrafts> places_;
};

// Thread: engine.
class DraftLength {
 public:
  // Chooses from 0..limit.
  explicit DraftLength(int limit) : limit_(limit) {}

  // For a step of `decodes` that can carry drafts.
  int Choose(int decodes);
  void Observe(const DraftedStep& step);

 private:
  struct Arm {
    double seconds = 0;   // mean
    double weight = 0;    // of how many steps, late ones counting most
    int64_t last_step = 0;
    double deviation = 0; // mean distance from the mean
    int far_steps = 0;    // the last ones, far above (or below: negative) the mean
  };
  using Arms = std::array<Arm, kMaxDrafts + 1>;  // by drafts

  static int LevelOf(int decodes);
  ByDrafts CostsAt(int level) const;
  ByDrafts FitOf(int level, const Arms& arms) const;
  double PriorCost(int level, int drafts) const;
  Arms NewArms() const;
  void Learn(Arms& arms, Arm& arm, double seconds);

  const int limit_;
  DraftAcceptance acceptance_;
  std::map<int, Arms> levels_;   // by decodes in a step, large numbers in classes
  double fixed_tokens_ = 0;
  double budget_seconds_ = 0.1;  // that trying may still lose
  int64_t steps_ = 0;
};

}  // namespace braid
