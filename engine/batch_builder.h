// StepPlan to RaggedBatch: ids, positions, spans and the rows whose logits are wanted.
#pragma once

#include <functional>
#include <vector>

#include "engine/sequence_table.h"
#include "kernels/ragged_batch.h"

namespace braid {

// Which prompt rows want logits beside the sampled ones (logprobs of the prompt).
using WantsPromptLogits = std::function<bool(SequenceId)>;

// One logit row: whose, at which position, and whether a token is drawn from it.
struct LogitRow {
  int32_t row = 0;        // of the sequence table
  SequenceId id = 0;
  int32_t position = 0;   // the logits predict the token at position + 1
  bool samples = false;
};

// Owns what a RaggedBatch borrows. Thread: its rank's; buffers are reused from step to step.
class BatchBuilder {
 public:
  // Fills the batch for `plan` and moves the table's state positions past what is certain of it. Drafts join their
  // row's tokens until the step is sampled.
  void Build(const StepPlan& plan, int state_grid, const WantsPromptLogits& wants_prompt_logits, SequenceTable* table);

  RaggedBatch batch() const { return {ids_, positions_, spans_, logit_row_indices_}; }
  const std::vector<LogitRow>& logit_rows() const { return logit_rows_; }  // in the batch's order

 private:
  void Add(const SequenceStep& step, int state_grid, bool all_logits, SequenceRow* row);

  std::vector<int32_t> ids_, positions_, logit_row_indices_;
  std::vector<SequenceSpan> spans_;
  std::vector<LogitRow> logit_rows_;
};

}  // namespace braid
