// What the prefix cache did since the start, for metrics.
#pragma once

#include <cstdint>

namespace braid {

// Why a prompt found nothing in the cache.
enum class PrefixMiss {
  kDisabled,    // the cache is off, or the request wants logprobs of its prompt
  kTooShort,    // no full block before the prompt's last token
  kNoPrefix,    // no block of this salt begins as the prompt does
  kNoSnapshot,  // blocks were found, but no recurrent state behind any of them
};
inline constexpr int kNumPrefixMisses = 4;
// Their names in metrics, by value.
inline constexpr const char* kPrefixMissNames[kNumPrefixMisses] = {"disabled", "too_short", "no_prefix", "no_snapshot"};

// Counted when a sequence is admitted for the first time; what it finds after a preemption is not.
struct PrefixCounters {
  uint64_t queried_tokens = 0;             // of prompts that were looked up
  uint64_t hit_tokens = 0;                 // of them, not computed
  uint64_t tokens_without_snapshot = 0;    // of them, in cached blocks behind the last usable state: computed again
  uint64_t misses[kNumPrefixMisses] = {};  // sequences, by PrefixMiss
  uint64_t evicted_blocks = 0;
  uint64_t evicted_snapshots = 0;          // those of evicted blocks included
};

}  // namespace braid
