// What two processes say to each other about one prompt: please compute it, here is what it has left.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/handover/sequence_layout.h"
#include "engine/sampling/sampling_params.h"
#include "engine/token_event.h"

namespace braid {

// Whose memory can be read by whom.
struct HandoverIdentity {
  std::string model_digest;
  std::string fingerprint;  // where it differs, bits may; it is no obstacle
  int vocab_size = 0;
  SequenceLayout layout;
};

// Asks for a prompt to be computed, and for its first token if that can be drawn there.
struct PrefillCall {
  HandoverIdentity asker;
  std::string request_id;
  std::vector<int32_t> prompt;
  bool draws = true;             // false: a grammar or the like has a say in the first token
  SamplingParams sampling;
  int min_tokens = 0;
  bool ignore_eos = false;
  std::vector<int32_t> stop_token_ids;
  std::string cache_salt;
  int priority = 0;
  int64_t timeout_ms = 0;        // 0: none
};

// Names an offer. The epoch tells a process from the one before it at the same address.
struct OfferName {
  std::string id;      // 32 hexadecimal digits; empty: nothing is kept
  uint64_t epoch = 0;
};

struct PrefillOffer {
  OfferName name;
  HandoverIdentity from;
  int32_t num_computed = 0;                // of the prompt
  int64_t image_bytes = 0;                 // 0: nothing is kept, for the sequence has ended or what it left is lost
  std::vector<int32_t> tokens;             // drawn: one, or none
  std::vector<TokenLogprobs> logprobs;     // one a token when asked for
  FinishReason finish = FinishReason::kNone;  // kStop: the token has ended the sequence
  int32_t stop_token = -1;
  int cached_tokens = 0;                   // of the prompt, not computed there either
  int64_t lease_ms = 0;                    // how long it is kept
};

}  // namespace braid
