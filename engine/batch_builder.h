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
  int32_t hidden_row = 0; // its final hidden vector's, in the order of RaggedBatch::logit_rows
  bool samples = false;
};

// Owns what a RaggedBatch borrows. Thread: its rank's; buffers are reused from step to step.
class BatchBuilder {
 public:
  // With `all_hidden` the final hidden vectors of all tokens are wanted, else those of logit rows.
  explicit BatchBuilder(bool all_hidden = false) : all_hidden_(all_hidden) {}

  // Fills the batch for `plan` and moves the table's state positions past what is certain of it. Drafts stand at the end
  // of their row's tokens.
  void Build(const StepPlan& plan, int state_grid, const WantsPromptLogits& wants_prompt_logits, SequenceTable* table);

  RaggedBatch batch() const { return {ids_, positions_, spans_, hidden_rows_}; }
  const std::vector<LogitRow>& logit_rows() const { return logit_rows_; }  // in the batch's order

 private:
  void Add(const SequenceStep& step, int state_grid, bool all_logits, SequenceRow* row);

  const bool all_hidden_;
  std::vector<int32_t> ids_, positions_, hidden_rows_;
  std::vector<SequenceSpan> spans_;
  std::vector<LogitRow> logit_rows_;
};

}  // namespace braid
