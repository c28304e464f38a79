// A trie walked by places with their whole stack.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/grammar/byte_trie.h"
#include "engine/grammar/stack_walker.h"

namespace braid {

// Scratch of a walk: the places at each depth, and how many frames they need.
struct TrieLevels {
  struct Level {
    std::vector<StackPlace> places;
    size_t num_frames = 0;
  };
  std::vector<Level> levels;
};

// Calls accept(node) for each node whose bytes the places can read; false when `most_work` ended the walk. Leaves
// `frames` as they were.
template <class Accept>
bool WalkTrie(const ByteTrie& trie, std::span<const StackPlace> from, uint64_t most_work, StackWalker* walker,
              StackFrames* frames, TrieLevels* scratch, Accept accept) {
  auto& levels = scratch->levels;
  if (levels.size() < static_cast<size_t>(trie.max_depth()) + 1) levels.resize(trie.max_depth() + 1);
  levels[0].places.assign(from.begin(), from.end());
  levels[0].num_frames = frames->size();
  int node = 0;
  while (node < trie.size() && walker->work < most_work) {
    const ByteTrieNode& at = trie[node];
    const TrieLevels::Level& up = levels[at.depth - 1];
    TrieLevels::Level& down = levels[at.depth];
    frames->resize(up.num_frames);
    if (!walker->Step(up.places, at.byte, ReadMode::kToken, frames, &down.places)) {
      node = at.skip;
      continue;
    }
    down.num_frames = frames->size();
    accept(node);
    ++node;
  }
  frames->resize(levels[0].num_frames);
  return node >= trie.size();
}

}  // namespace braid
