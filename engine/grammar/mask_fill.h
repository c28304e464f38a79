// One step's mask from the kept ones.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/grammar/mask_cache.h"
#include "engine/grammar/stack_walker.h"
#include "engine/grammar/token_vocabulary.h"
#include "engine/grammar/trie_walk.h"

namespace braid {

// Scratch memory over steps. Thread: one at a time.
class MaskFill {
 public:
  MaskFill(const Automaton& automaton, const TokenVocabulary& vocabulary, MaskCache* cache)
      : automaton_(automaton), vocabulary_(vocabulary), cache_(*cache) {}

  // Sets the bits of the tokens that may come at `places`, clears all others. Leaves `frames` as they were.
  void Fill(std::span<const StackPlace> places, StackWalker* walker, StackFrames* frames, std::span<uint32_t> words);

 private:
  void FillState(std::span<const StackPlace> run);
  void AddStaying(const LocalMask& mask, std::span<const StackPlace> run);
  void AddCounted(const LocalMask& mask, int32_t most);
  void AddLeaving(const LocalMask& mask, std::span<const StackPlace> run);
  void AddExits(const LocalMask& mask, const ExitRanges& ranges, const StackFrame* counted);
  std::vector<int32_t> ChainOf(StackPlace place, bool counted);
  void Keep(StackPlace place, std::vector<int32_t> targets, ExitRanges ranges);
  void Set(int32_t id) { words_[id / 32] |= uint32_t{1} << id % 32; }

  const Automaton& automaton_;
  const TokenVocabulary& vocabulary_;
  MaskCache& cache_;
  StackWalker* walker_ = nullptr;   // during a call
  StackFrames* frames_ = nullptr;   // during a call
  std::span<uint32_t> words_;       // during a call
  bool wide_ = false;
  uint64_t budget_ = 0;             // left for computing masks of states
  std::vector<StackPlace> places_, returns_;
  std::vector<int32_t> chain_;      // the frames of ChainOf
  std::vector<uint32_t> bits_;
  TrieLevels levels_;
};

}  // namespace braid
