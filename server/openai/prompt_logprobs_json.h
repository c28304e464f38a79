// The logprobs of a prompt's tokens in the words of `prompt_logprobs`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/token_event.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {

// Entries of one answer at most: prompt tokens times the ids told beside each, over all choices. An entry is about 70
// bytes of the reply.
inline constexpr int64_t kMaxPromptLogprobEntries = int64_t{1} << 20;

// A list with an item a token: null for the first, then {"ID": {"logprob", "rank", "decoded_token"}} of the token itself
// and of the `top` best ids. `logprobs` are those of ids 1.., with at least as many best ids where there are such. Without
// a tokenizer decoded_token is null.
std::string PromptLogprobsJson(std::span<const int32_t> ids, std::span<const TokenLogprobs> logprobs, int top,
                               const Tokenizer* tokenizer);

}  // namespace braid
