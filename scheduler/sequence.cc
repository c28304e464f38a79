#include "scheduler/sequence.h"

#include <algorithm>
#include <utility>

namespace braid {

Sequence::Sequence(SequenceArrival arrival, SequenceOrder sequence_order, int32_t length_limit)
    : id(arrival.id),
      order(sequence_order),
      prompt_tokens(static_cast<int32_t>(arrival.prompt.size())),
      max_length(length_limit),
      min_tokens(arrival.min_tokens),
      deadline_ns(arrival.deadline_ns),
      cache_salt(std::move(arrival.cache_salt)),
      computes_all(arrival.computes_all),
      holds(arrival.holds),
      stop_token_ids(std::move(arrival.stop_token_ids)),
      tokens(std::move(arrival.prompt)),
      num_loaded(arrival.num_loaded) {
  tokens.insert(tokens.end(), arrival.output.begin(), arrival.output.end());
  std::sort(stop_token_ids.begin(), stop_token_ids.end());
}

bool Sequence::Append(int32_t token, EndReason* reason) {
  tokens.push_back(token);
  const bool may_stop = num_known() - prompt_tokens >= min_tokens;
  if (may_stop && std::binary_search(stop_token_ids.begin(), stop_token_ids.end(), token)) {
    *reason = EndReason::kStop;
    return true;
  }
  *reason = EndReason::kLength;
  return num_known() >= max_length;
}

}  // namespace braid
