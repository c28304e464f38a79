// Who runs next. A pure, deterministic state machine: no threads, no clock of its own, no I/O. Events go in (Apply),
// plans come out (Plan), results go in (Commit). Plan may be called once more before the result of the last plan is
// committed (depth 1): lengths of sequences in flight are then upper bounds.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "scheduler/scheduler_config.h"
#include "scheduler/step_plan.h"

namespace braid {

// What the memory holds and the model can do.
struct SchedulerLimits {
  int num_blocks = 0;
  int num_state_slots = 0;  // 0: the model has no recurrent state
  int max_model_len = 0;    // prompt + output tokens of a sequence
};

struct SequenceArrival {
  SequenceId id = 0;
  std::vector<int32_t> prompt;
  int max_tokens = 1;
  int min_tokens = 0;                    // stop ids do not end it before; ranks mask them
  std::vector<int32_t> stop_token_ids;   // end-of-sequence ids included unless ignored
  int priority = 0;                      // lower runs first (Policy::kPriority)
  int64_t arrival_ns = 0;
  int64_t deadline_ns = 0;               // 0: none
};
struct SequenceCancel {
  SequenceId id = 0;
};
using SchedulerEvent = std::variant<SequenceArrival, SequenceCancel>;

enum class EndReason { kStop, kLength, kCancelled, kDeadline, kFailed };

// What a commit gave one sequence.
struct Committed {
  SequenceId id = 0;
  int32_t token = -1;        // -1 with kFailed, kCancelled and kDeadline
  bool ended = false;
  EndReason reason = EndReason::kStop;
};

struct SchedulerStats {
  int running = 0, waiting = 0;
  int blocks_used = 0, blocks_total = 0;
  int state_slots_used = 0, state_slots_total = 0;
  uint64_t preemptions = 0;
};

// What the front may ask of a live sequence.
struct SequenceInfo {
  int64_t first_scheduled_ns = 0;  // 0: not yet
  int num_preemptions = 0;
};

class Scheduler {
 public:
  Scheduler(const SchedulerConfig& config, const SchedulerLimits& limits);
  ~Scheduler();

  // OK when a sequence of such length can ever run: InvalidArgument names the limit it breaks (context, blocks).
  absl::Status CanEverRun(int64_t prompt_tokens, int64_t max_tokens) const;

  // Takes in what happened outside. Sequences that a cancel or a passed deadline ended are returned; their blocks are
  // free before the next plan unless a launched step may still touch them.
  std::vector<Committed> Apply(std::vector<SchedulerEvent> events, int64_t now_ns);

  // Returns the next step: decodes first, then prompt chunks within the token budget. Empty when nothing can run.
  StepPlan Plan();

  // Takes the tokens of the oldest plan not yet committed. Results of sequences that have ended since are dropped.
  std::vector<Committed> Commit(const StepResult& result);

  bool HasWork() const;  // a sequence is waiting or running
  SchedulerStats Stats() const;
  SequenceInfo Info(SequenceId id) const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace braid
