// Speculation: guesses at a decode's next tokens join its step, and the cursor moves back over those that do not hold.
#include <algorithm>

#include "kernels/base/errors.h"
#include "scheduler/scheduler.h"

namespace braid {

void Scheduler::TakeDrafts(SequenceDrafts drafts) {
  const auto found = sequences_.find(drafts.id);
  if (found == sequences_.end() || found->second->status != SequenceStatus::kRunning) return;
  CHECK(drafts.tokens.empty() || static_cast<int>(drafts.tokens.size()) == drafts.count) << "sequence " << drafts.id;
  found->second->num_drafts = drafts.count;
  found->second->drafts = std::move(drafts.tokens);
  drafted_.push_back(drafts.id);
}

// Drafts come last: they take what decodes and prompts leave of the budget and of the blocks, and nobody is preempted
// for them. A sequence with a token in flight has none, for they would stand behind a token not yet known.
void Scheduler::PlanDrafts(Building& step) {
  if (drafted_.empty()) return;
  int budget = config_.max_tokens_per_step - step.plan.num_tokens();
  for (SequenceStep& one : step.plan.steps) {
    Sequence& sequence = *rows_[one.row];
    if (one.prefill || sequence.num_drafts == 0 || sequence.num_in_flight != 1) continue;
    // The last token up to max_length is drawn behind the last draft.
    const int32_t room = std::min({budget, config_.max_drafts, sequence.max_length - sequence.num_known() - 1});
    const int32_t count = GrowForDrafts(sequence, std::min(room, sequence.num_drafts), step);
    if (count <= 0) continue;
    one.num_drafts = count;
    if (!sequence.drafts.empty()) one.drafts.assign(sequence.drafts.begin(), sequence.drafts.begin() + count);
    one.num_tokens += count;
    sequence.num_computed += count;
    sequence.drafts_in_flight = count;
    step.num_drafts += count;
    budget -= count;
  }
  for (const SequenceId id : std::exchange(drafted_, {})) {
    if (const auto found = sequences_.find(id); found != sequences_.end()) {
      found->second->num_drafts = 0;
      found->second->drafts.clear();
    }
  }
}

// Returns how many of the wanted drafts have blocks, free ones added.
int32_t Scheduler::GrowForDrafts(Sequence& sequence, int32_t wanted, Building& step) {
  if (wanted <= 0 || limits_.num_blocks == 0) return wanted;
  while (BlocksFor(sequence.num_computed + wanted) > static_cast<int>(sequence.blocks.size())) {
    if (blocks_.num_free() == 0 && prefix_cache_.num_idle() == 0) break;
    sequence.blocks.push_back(TakeBlock());
    step.plan.new_blocks.push_back({sequence.row, {sequence.blocks.back().id()}});
  }
  const int32_t places = static_cast<int32_t>(sequence.blocks.size()) * config_.block_size;
  return std::min(wanted, places - sequence.num_computed);
}

// Takes the results of the sequence's step from the front of `results`; those behind its end come to nothing. Rejected
// drafts take back the cursor only: their places are computed again. Returns how many results were taken.
size_t Scheduler::CommitStep(Sequence& sequence, std::span<const SequenceResult> results,
                             std::vector<Committed>* committed) {
  --sequence.num_in_flight;
  const int32_t drafts = std::exchange(sequence.drafts_in_flight, 0);
  size_t taken = 0;
  while (taken < results.size() && results[taken].id == sequence.id && sequence.status != SequenceStatus::kEnded) {
    CommitToken(sequence, results[taken++].token, committed);
  }
  CHECK_LE(taken, static_cast<size_t>(drafts) + 1) << "sequence " << sequence.id;
  if (sequence.status == SequenceStatus::kRunning) sequence.num_computed -= drafts + 1 - static_cast<int32_t>(taken);
  return taken;
}

}  // namespace braid
