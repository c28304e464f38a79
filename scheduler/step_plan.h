// What the scheduler tells the ranks to do in one step, and what they answer. Ranks keep a mirrored table of sequences
// (row -> tokens, blocks, state slot), so a plan carries changes only.
#pragma once

#include <cstdint>
#include <vector>

namespace braid {

using SequenceId = uint64_t;  // never used twice

// A row of the ranks' sequence table is (re)filled: a new sequence, or a preempted one that starts over.
struct RowAdmission {
  int32_t row = 0;
  SequenceId id = 0;
  int32_t state_slot = -1;        // -1 for models without recurrent state
  std::vector<int32_t> tokens;    // all known tokens: prompt, and what was generated before a preemption
  int32_t prompt_tokens = 0;      // how many of them are the prompt
  int32_t start = 0;              // positions before it are in the row's first blocks already; whole blocks of them
  int32_t restored_slot = -1;     // >= 0: holds the state at `start`; copied to state_slot unless it is that itself
  bool loads = false;             // `start` may be any position: the ranks load what lies before it into the first
                                  // blocks and the slot, all of them the row's own
};

// Blocks appended to a row's block table.
struct RowBlocks {
  int32_t row = 0;
  std::vector<int32_t> blocks;
};

// One sequence's part of a step.
struct SequenceStep {
  int32_t row = 0;
  SequenceId id = 0;
  int32_t start = 0;        // position of its first token
  int32_t num_tokens = 0;   // tokens of its prompt (or known output) to compute; or 1, the token sampled last, + drafts
  bool prefill = false;     // of what was known at its admission; else a decode
  bool samples = false;     // its last token's logits are wanted, and a token drawn from them
  int32_t num_drafts = 0;   // of a decode: guesses at the tokens to come, computed behind the last one
  std::vector<int32_t> drafts = {};  // the guesses; empty: the ranks' draft head makes them
};

// After the step the row's state, which stands at a multiple of the block size, is copied to `slot`.
struct StateSnapshot {
  int32_t row = 0;
  int32_t slot = 0;
};

struct StepPlan {
  uint64_t epoch = 0;                       // rises by one each plan
  std::vector<int32_t> released_rows;       // rows whose sequence ended or was preempted; applied first
  std::vector<RowAdmission> admitted;       // applied second, in this order: a slot restored from may be given on
  std::vector<RowBlocks> new_blocks;        // applied third
  std::vector<SequenceStep> steps;          // decodes first
  std::vector<StateSnapshot> snapshots;     // taken last
  bool empty() const { return steps.empty(); }
  int num_tokens() const {
    int total = 0;
    for (const SequenceStep& step : steps) total += step.num_tokens;
    return total;
  }
};

// A token that a sequence got from a step.
struct SequenceResult {
  int32_t row = 0;
  SequenceId id = 0;
  int32_t token = -1;  // -1: its logits were not finite; the sequence fails alone
};

// The answer to the plan of the same epoch: one result for each of its steps that samples, in its order. A step with
// drafts draws a token behind its own and behind each draft. Its results, one behind the other, are the first token
// drawn, and the next ones as long as each draft equals the token drawn in its place.
struct StepResult {
  uint64_t epoch = 0;
  std::vector<SequenceResult> results;
};

}  // namespace braid
