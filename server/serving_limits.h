// What requests may ask for, and what is kept of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/json.h"

namespace braid {

// What a request may ask for at most; past it InvalidArgument.
struct ServingLimits {
  int max_messages = 2048;
  int max_tools = 128;
  int max_prompts = 1024;          // of one completions call
  int max_n = 128;
  int max_logprobs = 5;            // completions
  int max_top_logprobs = 20;       // chat
  int max_stop_strings = 4;
  int max_stop_bytes = 256;        // of one stop string
  int max_stop_token_ids = 1024;
  int max_logit_bias = 1024;       // ids
  size_t max_schema_bytes = 256 << 10;  // of a schema or grammar that an answer must follow
  JsonLimits json;
};

// Of the responses that are kept after they were answered, all callers' together.
struct ResponseStoreLimits {
  int max_count = 4096;                 // 0: none are kept
  int64_t max_bytes = int64_t{64} << 20;
  int64_t max_idle_ms = 3'600'000;      // since one was last used
};

}  // namespace braid
