// The masks of one grammar as far as they have been computed: by state, and what the stack made of the tokens that
// leave a rule, by the states that were returned to.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "engine/grammar/token_mask.h"

namespace braid {

// Which exit tokens of a LocalMask the stack can read: [begin, end) of its exit_tokens.
using ExitRanges = std::vector<std::pair<int32_t, int32_t>>;

// Thread-safe.
class MaskCache {
 public:
  static constexpr size_t kMaxBytes = size_t{64} << 20;
  static constexpr size_t kMaxExits = 16384;

  MaskCache(const Automaton& automaton, const TokenVocabulary& vocabulary)
      : automaton_(automaton), vocabulary_(vocabulary), local_(automaton.num_states()) {}

  // The mask of a state. Computed when it is not there yet, at the cost of some of `budget` (places looked at); null
  // when that is used up.
  std::shared_ptr<const LocalMask> Local(int32_t state, uint64_t* budget);

  // What was kept under the state and the shortest run of `targets`, those that its return leads to one after another;
  // null when there is nothing.
  std::shared_ptr<const ExitRanges> FindExits(int32_t state, const std::vector<int32_t>& targets) const;
  void KeepExits(int32_t state, std::vector<int32_t> targets, std::shared_ptr<const ExitRanges> ranges);

  // Computes masks that texts of the grammar are likely to need, dearest first, until `budget_ns` have passed.
  void Warm(int64_t budget_ns);

 private:
  const Automaton& automaton_;
  const TokenVocabulary& vocabulary_;
  mutable std::mutex mutex_;
  // Shared with whoever is filling a mask while the cache is emptied, and with other grammars.
  std::vector<std::shared_ptr<const LocalMask>> local_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<std::vector<int32_t>, std::shared_ptr<const ExitRanges>> exits_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace braid
