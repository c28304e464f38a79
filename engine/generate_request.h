// What the server gives the engine: token ids and how to continue them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/grammar/token_constraint.h"
#include "engine/handover/sequence_layout.h"
#include "engine/sampling/sampling_params.h"
#include "engine/token_event.h"

namespace braid {

// One request: a prompt and `n` sequences that continue it.
struct GenerateRequest {
  std::string id;                   // for logs; unique among live requests is not needed
  std::vector<int32_t> prompt;      // at least one id, each inside the vocabulary
  SamplingParams sampling;
  int n = 1;                        // sequences; 1 with output, image or hold
  std::vector<int32_t> output;      // drawn elsewhere before: known, counted in max_tokens, not told again
  std::shared_ptr<const SequenceImage> image;  // of the first positions of prompt and output, computed elsewhere; null:
                                               // all is computed here. Shared: it waits for its admission
  bool hold = false;                // ended by its length, what it computed is kept: TokenEvent::held
  int max_tokens = 16;              // of each sequence; prompt + max_tokens must fit the context
  int min_tokens = 0;               // end-of-sequence and stop ids are masked before
  bool ignore_eos = false;
  std::vector<int32_t> stop_token_ids;
  std::shared_ptr<const ConstraintSpec> constraint;  // null: none
  int prompt_logprobs = -1;         // of the prompt's tokens, none of which comes from the prefix cache then. -1: none;
                                    // 0: the token's own; k: and the k best, at most kMaxTopLogprobs or all of the vocabulary
  std::string cache_salt;           // cached prefixes are shared among requests of equal salt only
  std::string prefill_peer;         // HOST:PORT of the process that is to compute the prompt; empty: here. The engine
                                    // does not look at it
  int priority = 0;                 // lower runs first
  int64_t arrival_ns = 0;           // the engine clock's
  int64_t deadline_ns = 0;          // the engine clock's; 0: none
  // Receives every event of the request, on the engine's thread, in order. Must not block: it posts.
  std::function<void(TokenEvent)> on_event;
};

}  // namespace braid
