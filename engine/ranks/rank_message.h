// What the first rank tells the others: once what to load and which pools to make, then every step's plan. Everything
// that acts on sequences, blocks and states is in the plan, so that all ranks' tables and pools stay the same.
#pragma once

#include <string>
#include <vector>

#include "engine/model_runner.h"
#include "engine/ranks/message_codec.h"
#include "kernels/collective/communicator.h"
#include "scheduler/step_plan.h"

namespace braid {

struct LoadOrder {
  std::string model;       // the checkpoint
  std::string cpu_isa;
  int threads = 1;         // of a rank
  bool pin_threads = false;
  bool draft_head = false; // it is asked
};

// RunnerShape but for the cache, which is each rank's own.
struct PoolOrder {
  DType kv_dtype = DType::kF32;
  int block_size = 0, state_grid = 0, num_blocks = 0, num_state_slots = 0, max_tokens_per_step = 0, max_sequences = 0;
  int max_drafts = 0;
};

struct StepOrder {
  StepPlan plan;
  // Of each step: SamplingSpec::prompt_logprobs of its sequence, or kNoSpec where that has none any more.
  static constexpr int kNoSpec = -2;
  std::vector<int> prompt_logprobs;
};

template <class Codec>
void Code(Codec& code, LoadOrder& m) {
  code(m.model, m.cpu_isa, m.threads, m.pin_threads, m.draft_head);
}
template <class Codec>
void Code(Codec& code, PoolOrder& m) {
  code(m.kv_dtype, m.block_size, m.state_grid, m.num_blocks, m.num_state_slots, m.max_tokens_per_step, m.max_sequences,
       m.max_drafts);
}
template <class Codec>
void Code(Codec& code, RowAdmission& m) {
  code(m.row, m.id, m.state_slot, m.tokens, m.prompt_tokens, m.start, m.restored_slot, m.loads);
}
template <class Codec>
void Code(Codec& code, RowBlocks& m) {
  code(m.row, m.blocks);
}
template <class Codec>
void Code(Codec& code, SequenceStep& m) {
  code(m.row, m.id, m.start, m.num_tokens, m.prefill, m.samples, m.num_drafts, m.drafts);
}
template <class Codec>
void Code(Codec& code, StateSnapshot& m) {
  code(m.row, m.slot);
}
template <class Codec>
void Code(Codec& code, StepOrder& m) {
  StepPlan& plan = m.plan;
  code(plan.epoch, plan.released_rows, plan.admitted, plan.new_blocks, plan.steps, plan.snapshots, m.prompt_logprobs);
}

// The first rank's message to the others; none: the end.
void SendMessage(Communicator& ranks, std::vector<std::byte> message);
// Waits for it; Unavailable once a rank is lost.
absl::StatusOr<std::vector<std::byte>> ReceiveMessage(Communicator& ranks);

}  // namespace braid
