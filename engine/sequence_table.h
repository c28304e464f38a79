// A rank's mirror of the running sequences, kept by the changes that plans carry: tokens, blocks, state slot by row.
#pragma once

#include <cstdint>
#include <vector>

#include "scheduler/step_plan.h"

namespace braid {

struct SequenceRow {
  SequenceId id = 0;
  std::vector<int32_t> tokens;   // prompt and output so far
  int32_t prompt_tokens = 0;
  std::vector<int32_t> blocks;
  int32_t state_slot = -1;
  int32_t state_position = 0;    // see ssm/ssm.h
};

// Thread: its rank's.
class SequenceTable {
 public:
  // Applies the plan's releases, admissions and new blocks, in this order.
  void Apply(const StepPlan& plan);

  SequenceRow& row(int32_t row) { return rows_[row]; }
  const SequenceRow& row(int32_t row) const { return rows_[row]; }

 private:
  std::vector<SequenceRow> rows_;
};

}  // namespace braid
