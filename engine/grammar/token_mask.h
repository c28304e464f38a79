// The part of a mask that depends on a state alone, whatever the stack below: the tokens that stay within the state's
// rule (and what it calls), and those that leave it, whose rest the stack must read.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "engine/grammar/automaton.h"
#include "engine/grammar/stack_walker.h"
#include "engine/grammar/token_vocabulary.h"

namespace braid {

// Immutable. Thread: any.
struct LocalMask {
  uint64_t work = 0;  // places looked at to compute it
  bool wide = false;  // too many ways out, or too much work: the whole vocabulary is walked with the stack instead

  // The tokens that stay, as ids or, where those are many, as bits. Of a single-path counted rule also the ids by how
  // many more iterations they begin: the first count_ends[c] begin at most c.
  std::vector<int32_t> ids;
  std::vector<uint32_t> bits;
  std::vector<int32_t> count_ends;

  // The tokens that leave: entry i of the trie is what exit_tokens[i] has left behind the rule, not empty.
  struct Exit {
    int32_t id;
    int32_t count;  // iterations begun before, in a single-path counted rule
  };
  ByteTrie exits;
  std::vector<Exit> exit_tokens;

  size_t bytes() const;
};

// Computes the mask of `state`: its first byte goes by the state's own edges (its calls and returns are states of their
// own to whoever asks).
LocalMask ComputeLocalMask(const Automaton& automaton, const TokenVocabulary& vocabulary, int32_t state);

// What ComputeLocalMask reads, written out with numbers of its own: equal keys have equal masks over one vocabulary.
// Empty when that is long or not only bytes.
std::string LocalMaskKey(const Automaton& automaton, int32_t state);

// Masks by key, for all grammars over one vocabulary. Thread-safe.
class SharedMasks {
 public:
  static constexpr size_t kMaxBytes = size_t{128} << 20;

  std::shared_ptr<const LocalMask> Find(const std::string& key) const;
  void Keep(const std::string& key, std::shared_ptr<const LocalMask> mask);

 private:
  mutable std::mutex mutex_;
  // Shared with the grammars that use them.
  absl::flat_hash_map<std::string, std::shared_ptr<const LocalMask>> masks_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace braid
