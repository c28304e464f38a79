#include "engine/batch_builder.h"

#include "kernels/base/errors.h"

namespace braid {

void BatchBuilder::Build(const StepPlan& plan, int state_grid, const WantsPromptLogits& wants_prompt_logits,
                         SequenceTable* table) {
  ids_.clear();
  positions_.clear();
  hidden_rows_.clear();
  spans_.clear();
  logit_rows_.clear();
  for (const SequenceStep& step : plan.steps) {
    SequenceRow& row = table->row(step.row);
    const bool in_prompt = step.start + 1 < row.prompt_tokens;
    Add(step, state_grid, in_prompt && wants_prompt_logits(step.id), &row);
  }
}

void BatchBuilder::Add(const SequenceStep& step, int state_grid, bool all_logits, SequenceRow* row) {
  const int32_t end = step.start + step.num_tokens;
  CHECK_LE(end, static_cast<int32_t>(row->tokens.size())) << "sequence " << step.id;
  SequenceSpan span{.first_row = static_cast<int32_t>(ids_.size()),
                    .num_tokens = step.num_tokens,
                    .start = step.start,
                    .num_committed = step.num_tokens - step.num_drafts,
                    .blocks = row->blocks.data(),
                    .num_blocks = static_cast<int32_t>(row->blocks.size()),
                    .state_slot = row->state_slot,
                    .state_position = row->state_position};
  for (int32_t position = step.start; position < end; ++position) {
    const bool samples = step.samples && position + 1 + step.num_drafts >= end;
    const bool has_logits = samples || (all_logits && position + 1 < row->prompt_tokens);
    if (has_logits) {
      logit_rows_.push_back({step.row, step.id, position, static_cast<int32_t>(hidden_rows_.size()), samples});
    }
    if (has_logits || all_hidden_) hidden_rows_.push_back(static_cast<int32_t>(ids_.size()));
    ids_.push_back(row->tokens[position]);
    positions_.push_back(position);
  }
  row->state_position = StatePositionAfter(span, state_grid);
  spans_.push_back(span);
}

}  // namespace braid
