// Prefixes that were computed before: a tree of full KV blocks, with snapshots of the recurrent state where a model has
// one. Tokens (and for the first block the salt) are compared on every hit.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "scheduler/block_pool.h"
#include "scheduler/state_slot_pool.h"
#include "scheduler/step_plan.h"

namespace braid {

// GreedyDual (Cao and Irani 1997): value = the line's clock at the last use + what is lost by eviction. The least goes
// first and the clock moves up to it, so worth ages with disuse. Touches break ties: the longest unused goes first.
struct EvictionRank {
  int64_t value = 0;
  uint64_t touch = 0;
  auto operator<=>(const EvictionRank&) const = default;
};

// One full block of tokens behind those of its parents.
struct PrefixNode {
  PrefixNode* parent = nullptr;   // null: the block begins its sequence
  std::string salt;               // of a block that begins its sequence; empty below
  std::vector<int32_t> tokens;    // [block_size]
  int32_t depth = 1;              // blocks from the start up to this one
  BlockRef block;
  SlotRef snapshot;               // the state behind the block's last token; may be empty
  SequenceId snapshot_taker = 0;  // who may move its snapshot on; 0: nobody
  int64_t snapshot_worth = 0;     // tokens that a hit on the snapshot saves beyond one on the snapshot above
  int num_children = 0;
  int num_users = 0;              // holds that end here, and children that have users
  EvictionRank block_rank, snapshot_rank;
};

class PrefixCache;

// Keeps the blocks from the start to a node in the tree; gives them up when it dies. Must not outlive its cache.
class PrefixHold {
 public:
  PrefixHold() = default;
  PrefixHold(PrefixHold&& other) noexcept : cache_(other.cache_), node_(std::exchange(other.node_, nullptr)) {}
  PrefixHold& operator=(PrefixHold&& other) noexcept {
    std::swap(cache_, other.cache_);
    std::swap(node_, other.node_);
    return *this;
  }
  ~PrefixHold();

  PrefixNode* node() const { return node_; }  // null: holds nothing
  int32_t depth() const { return node_ == nullptr ? 0 : node_->depth; }

 private:
  friend class PrefixCache;
  PrefixHold(PrefixCache* cache, PrefixNode* node) : cache_(cache), node_(node) {}

  PrefixCache* cache_ = nullptr;
  PrefixNode* node_ = nullptr;
};

// The longest cached path of some tokens; null: none.
struct PrefixMatch {
  PrefixNode* deepest = nullptr;
  PrefixNode* usable = nullptr;  // the deepest that a sequence can start behind
  static int32_t DepthOf(const PrefixNode* node) { return node == nullptr ? 0 : node->depth; }
};

// A block is idle when no hold's path leads through it. Idle blocks can be evicted, leaves first; snapshots always.
// A change costs O(log n), and O(path) where a hold begins or ends. Thread: engine.
class PrefixCache {
 public:
  // With `needs_snapshots` (models with recurrent state) only nodes that have one are usable.
  // `num_blocks` are expected at most.
  PrefixCache(int block_size, bool needs_snapshots, int num_blocks);
  PrefixCache(const PrefixCache&) = delete;

  // Returns the longest cached path of `tokens`: full blocks only, and never the last token, whose logits are wanted.
  PrefixMatch Match(const std::string& salt, std::span<const int32_t> tokens) const;

  // Holds the path to `node`, which may be null.
  PrefixHold Hold(PrefixNode* node);
  // Appends shares of the blocks on the path to `node`, the first one first.
  void ShareBlocks(const PrefixNode* node, std::vector<BlockRef>* blocks) const;
  // Blocks on the path to `node` that a hold keeps.
  static int NumHeld(const PrefixNode* node);

  // Moves `hold` one block deeper: to the node of `tokens` that is there, or a new one that shares `block`. The salt
  // counts where the hold is empty.
  void Extend(PrefixHold* hold, const std::string& salt, std::span<const int32_t> tokens, const BlockRef& block);
  // Ends `hold` and takes the idle end of its path out of the tree: what a failed sequence computed is not trusted.
  void Drop(PrefixHold hold);

  // Adds a snapshot to `node`, which must have none.
  void Keep(PrefixNode* node, SlotRef snapshot, SequenceId taker, int64_t worth);
  // A sequence starts from the node's snapshot: it is used, and no longer its taker's alone.
  void Use(PrefixNode* node);
  // Takes the snapshot out of the node.
  SlotRef TakeSnapshot(PrefixNode* node);

  // Evicts the idle leaf of least rank; false when no block is idle.
  bool EvictBlock();
  // Evicts the snapshot of least rank; false when there is none.
  bool EvictSnapshot();
  // The same, unless a new snapshot of `worth` would have the least rank itself.
  bool EvictSnapshotBelow(int64_t worth);
  // Drops all snapshots and all idle blocks.
  void Reset();

  int num_blocks() const { return static_cast<int>(nodes_.size()); }
  int num_idle() const { return num_idle_; }
  int num_snapshots() const { return static_cast<int>(snapshots_.members.size()); }
  uint64_t evicted_blocks() const { return evicted_blocks_; }
  uint64_t evicted_snapshots() const { return evicted_snapshots_; }

 private:
  friend class PrefixHold;

  struct Key {
    const PrefixNode* parent;
    std::span<const char> salt;  // empty below a parent, which has it
    std::span<const int32_t> tokens;
    friend bool operator==(const Key& a, const Key& b) {
      return a.parent == b.parent && std::equal(a.tokens.begin(), a.tokens.end(), b.tokens.begin(), b.tokens.end()) &&
             std::equal(a.salt.begin(), a.salt.end(), b.salt.begin(), b.salt.end());
    }
    template <class H>
    friend H AbslHashValue(H hash, const Key& key) {
      hash = H::combine_contiguous(std::move(hash), key.salt.data(), key.salt.size());
      hash = H::combine_contiguous(std::move(hash), key.tokens.data(), key.tokens.size());
      return H::combine(std::move(hash), key.parent, key.salt.size());
    }
  };
  using NodeOwner = std::unique_ptr<PrefixNode>;
  static Key KeyOf(const Key& key) { return key; }
  static Key KeyOf(const NodeOwner& node) { return {node->parent, node->salt, node->tokens}; }
  struct HashOf {
    using is_transparent = void;
    template <class T>
    size_t operator()(const T& subject) const {
      return absl::Hash<Key>()(KeyOf(subject));
    }
  };
  struct SameKey {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return KeyOf(a) == KeyOf(b);
    }
  };
  struct EvictionLine {
    int64_t clock = 0;  // the value of the last evicted
    absl::btree_set<std::pair<EvictionRank, PrefixNode*>> members;
  };

  static NodeOwner NewNode(PrefixNode* parent, const Key& key, const BlockRef& block);
  void Remove(PrefixNode* node);
  void Acquire(PrefixNode* node);
  void Release(PrefixNode* node);
  void SetIdle(PrefixNode* node);
  int64_t BlockWorth(const PrefixNode& node) const;

  const int block_size_;
  const bool needs_snapshots_;
  absl::flat_hash_set<NodeOwner, HashOf, SameKey> nodes_;
  EvictionLine leaves_;     // idle nodes without children, by block_rank
  EvictionLine snapshots_;  // nodes with a snapshot, by snapshot_rank
  uint64_t num_touches_ = 0;
  int num_idle_ = 0;
  uint64_t evicted_blocks_ = 0, evicted_snapshots_ = 0;
};

}  // namespace braid
