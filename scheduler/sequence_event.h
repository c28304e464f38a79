// What enters the scheduler from outside, and what leaves it for the front.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "scheduler/step_plan.h"

namespace braid {

struct SequenceArrival {
  SequenceId id = 0;
  std::vector<int32_t> prompt;
  std::vector<int32_t> output;           // drawn before it came here: known, and counted in max_tokens
  int max_tokens = 1;
  int min_tokens = 0;                    // stop ids do not end it before; ranks mask them
  std::vector<int32_t> stop_token_ids;   // end-of-sequence ids included unless ignored
  int priority = 0;                      // lower runs first (Policy::kPriority)
  int64_t arrival_ns = 0;
  int64_t deadline_ns = 0;               // 0: none
  std::string cache_salt;                // prefixes are shared among equal salts only
  bool computes_all = false;             // logits of the whole prompt are wanted: takes nothing from the prefix cache
  int num_loaded = 0;                    // positions whose K, V and state another process has computed: the ranks
                                         // load them at its first admission. Fewer than prompt and output
  bool holds = false;                    // ended by its length, it keeps blocks and slot until SequenceRelease
};
struct SequenceCancel {
  SequenceId id = 0;
};
// Gives back what an ended sequence with `holds` keeps. Unknown ids are ignored.
struct SequenceRelease {
  SequenceId id = 0;
};
// What steps have been measured to cost: one of n tokens takes as long as fixed_tokens + n times one more token.
struct StepCost {
  double fixed_tokens = 0;
};
// All that the prefix cache holds and no sequence uses is dropped.
struct ResetPrefixCache {};
// Guesses at a sequence's next tokens, for the next plan only. Dropped where that plan has no room for them.
struct SequenceDrafts {
  SequenceId id = 0;
  int count = 0;
  std::vector<int32_t> tokens;  // [count], or empty: the ranks' draft head makes them
};
using SchedulerEvent =
    std::variant<SequenceArrival, SequenceCancel, SequenceRelease, StepCost, ResetPrefixCache, SequenceDrafts>;

enum class EndReason { kStop, kLength, kCancelled, kDeadline, kFailed };

// A token that a commit gave one sequence, or its end. A sequence's tokens of one commit stand one behind the other.
struct Committed {
  SequenceId id = 0;
  int32_t token = -1;        // -1 with kFailed, kCancelled and kDeadline
  bool ended = false;
  EndReason reason = EndReason::kStop;
};

}  // namespace braid
