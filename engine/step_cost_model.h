// Learns what steps cost from the steps that were run: seconds = a + b * tokens, by least squares of the relative
// error with exponential forgetting. Tells the scheduler a / b.
#pragma once

#include "scheduler/sequence_event.h"

namespace braid {

// Thread: engine.
class StepCostModel {
 public:
  void Observe(int tokens, double seconds);
  StepCost cost() const { return cost_; }

 private:
  // Sums over past steps of w, w n, w n^2, w t, w n t, with w = forgetting^age / t^2.
  double w_ = 0, wn_ = 0, wnn_ = 0, wt_ = 0, wnt_ = 0;
  StepCost cost_;
};

}  // namespace braid
