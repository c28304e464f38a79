// What the engine tells the server about a request, one step at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"

namespace braid {

enum class FinishReason { kNone, kStop, kLength, kAbort, kError };

// Natural-log probabilities of one token, before temperature and penalties.
struct TokenLogprobs {
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top;  // falling; as many as asked for
  int32_t rank = 0;                            // among the whole vocabulary, 1 is the best; 0 of a token drawn elsewhere
};

class HeldPrompt;

struct TokenEvent {
  int index = 0;                          // which of the n sequences
  absl::InlinedVector<int32_t, 4> tokens; // new tokens of this step, the stopping one included
  std::vector<TokenLogprobs> logprobs;    // one per token when asked for
  std::vector<TokenLogprobs> prompt_logprobs;  // with the first token, when asked for: of prompt positions 1..
  FinishReason finish = FinishReason::kNone;   // != none: the sequence's last event
  int32_t stop_token = -1;                // the stop id or end-of-sequence id that ended it
  absl::Status error;                     // with kError and kAbort
  int cached_tokens = 0;                  // tokens taken from the prefix cache, not computed
  // Engine clock, ns; set once known, 0 before.
  int64_t scheduled_ns = 0;               // first scheduled
  int64_t emitted_ns = 0;                 // this event
  int num_preemptions = 0;
  // With the last event of a request with `hold`, unless nothing is left of it; engine/handover/held_prompt.h. Shared:
  // events are copied.
  std::shared_ptr<const HeldPrompt> held;
};

}  // namespace braid
