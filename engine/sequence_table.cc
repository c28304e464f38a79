#include "engine/sequence_table.h"

#include "kernels/base/errors.h"

namespace braid {

void SequenceTable::Apply(const StepPlan& plan) {
  for (int32_t row : plan.released_rows) rows_[row] = {};
  for (const RowAdmission& admission : plan.admitted) {
    if (admission.row >= static_cast<int32_t>(rows_.size())) rows_.resize(admission.row + 1);
    rows_[admission.row] = {.id = admission.id,
                            .tokens = admission.tokens,
                            .prompt_tokens = admission.prompt_tokens,
                            .state_slot = admission.state_slot,
                            .state_position = admission.start};
  }
  for (const RowBlocks& added : plan.new_blocks) {
    std::vector<int32_t>& blocks = rows_[added.row].blocks;
    blocks.insert(blocks.end(), added.blocks.begin(), added.blocks.end());
  }
  for (const SequenceStep& step : plan.steps) {
    CHECK_EQ(rows_[step.row].id, step.id) << "row " << step.row << " epoch " << plan.epoch;
  }
}

}  // namespace braid
