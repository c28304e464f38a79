#include "scheduler/prefix_cache.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace braid {

PrefixHold::~PrefixHold() {
  if (node_ != nullptr) cache_->Release(node_);
}

PrefixCache::PrefixCache(int block_size, bool needs_snapshots, int num_blocks)
    : block_size_(block_size), needs_snapshots_(needs_snapshots) {
  constexpr int kMostReserved = 1 << 17;  // growing step by step would hash all nodes anew each time
  nodes_.reserve(std::min(num_blocks, kMostReserved));
}

// ---- Finding

PrefixMatch PrefixCache::Match(const std::string& salt, std::span<const int32_t> tokens) const {
  PrefixMatch match;
  const size_t size = block_size_;
  Key key{nullptr, salt, {}};
  for (size_t end = size; end < tokens.size(); end += size) {
    key.tokens = tokens.subspan(end - size, size);
    const auto found = nodes_.find(key);
    if (found == nodes_.end()) break;
    match.deepest = found->get();
    if (!needs_snapshots_ || match.deepest->snapshot.id() >= 0) match.usable = match.deepest;
    key = {match.deepest, {}, {}};
  }
  return match;
}

void PrefixCache::ShareBlocks(const PrefixNode* node, std::vector<BlockRef>* blocks) const {
  const size_t before = blocks->size();
  for (; node != nullptr; node = node->parent) blocks->push_back(node->block.Share());
  std::reverse(blocks->begin() + before, blocks->end());
}

int PrefixCache::NumHeld(const PrefixNode* node) {
  while (node != nullptr && node->num_users == 0) node = node->parent;  // above a node with users all have users
  return PrefixMatch::DepthOf(node);
}

// ---- Holding

PrefixHold PrefixCache::Hold(PrefixNode* node) {
  if (node != nullptr) Acquire(node);
  return PrefixHold(this, node);
}

void PrefixCache::Acquire(PrefixNode* node) {
  for (; node != nullptr; node = node->parent) {
    if (node->num_users++ > 0) return;
    --num_idle_;
    if (node->num_children == 0) leaves_.members.erase({node->block_rank, node});
  }
}

void PrefixCache::Release(PrefixNode* node) {
  for (; node != nullptr; node = node->parent) {
    if (--node->num_users > 0) return;
    SetIdle(node);
  }
}

void PrefixCache::SetIdle(PrefixNode* node) {
  ++num_idle_;
  node->block_rank = {leaves_.clock + BlockWorth(*node), ++num_touches_};
  if (node->num_children == 0) leaves_.members.emplace(node->block_rank, node);
}

// What a hit on the node saves beyond a hit above it, in tokens: FLOPs grow with tokens and all blocks are equal in
// bytes, so this is the FLOPs saved per byte up to a factor.
int64_t PrefixCache::BlockWorth(const PrefixNode& node) const {
  if (!needs_snapshots_) return block_size_;
  return node.snapshot.id() >= 0 ? node.snapshot_worth : 0;
}

// ---- Growing and shrinking

void PrefixCache::Extend(PrefixHold* hold, const std::string& salt, std::span<const int32_t> tokens,
                         const BlockRef& block) {
  CHECK_EQ(tokens.size(), static_cast<size_t>(block_size_));
  PrefixNode* const parent = hold->node_;
  Key key{parent, {}, tokens};
  if (parent == nullptr) key.salt = salt;
  bool is_new = false;
  const auto place = nodes_.lazy_emplace(key, [&](const auto& construct) {
    construct(NewNode(parent, key, block));
    is_new = true;
  });
  PrefixNode* const child = place->get();
  if (!is_new) Acquire(child);
  if (is_new && parent != nullptr) ++parent->num_users;  // the new child
  if (parent != nullptr) Release(parent);
  hold->cache_ = this;
  hold->node_ = child;
}

// A leaf with one user.
PrefixCache::NodeOwner PrefixCache::NewNode(PrefixNode* parent, const Key& key, const BlockRef& block) {
  auto node = std::make_unique<PrefixNode>();
  node->parent = parent;
  node->salt.assign(key.salt.begin(), key.salt.end());
  node->tokens.assign(key.tokens.begin(), key.tokens.end());
  node->depth = PrefixMatch::DepthOf(parent) + 1;
  node->block = block.Share();
  node->num_users = 1;
  if (parent != nullptr) ++parent->num_children;
  return node;
}

void PrefixCache::Remove(PrefixNode* node) {
  CHECK(node->num_users == 0 && node->num_children == 0) << "at depth " << node->depth;
  leaves_.members.erase({node->block_rank, node});
  --num_idle_;
  if (node->snapshot.id() >= 0) TakeSnapshot(node);
  PrefixNode* const parent = node->parent;
  nodes_.erase(nodes_.find(Key{parent, node->salt, node->tokens}));
  if (parent != nullptr && --parent->num_children == 0 && parent->num_users == 0) {
    leaves_.members.emplace(parent->block_rank, parent);
  }
}

void PrefixCache::Drop(PrefixHold hold) {
  PrefixNode* node = std::exchange(hold.node_, nullptr);
  if (node == nullptr) return;
  Release(node);
  while (node != nullptr && node->num_users == 0 && node->num_children == 0) {
    PrefixNode* const parent = node->parent;
    Remove(node);
    node = parent;
  }
}

bool PrefixCache::EvictBlock() {
  if (leaves_.members.empty()) return false;
  const auto [rank, node] = *leaves_.members.begin();
  leaves_.clock = rank.value;
  ++evicted_blocks_;
  evicted_snapshots_ += node->snapshot.id() >= 0;
  Remove(node);
  return true;
}

// ---- Snapshots

void PrefixCache::Keep(PrefixNode* node, SlotRef snapshot, SequenceId taker, int64_t worth) {
  CHECK(node->num_users > 0 && node->snapshot.id() < 0) << "a snapshot at depth " << node->depth;
  node->snapshot = std::move(snapshot);
  node->snapshot_taker = taker;
  node->snapshot_worth = worth;
  node->snapshot_rank = {snapshots_.clock + worth, ++num_touches_};
  snapshots_.members.emplace(node->snapshot_rank, node);
}

void PrefixCache::Use(PrefixNode* node) {
  const size_t removed = snapshots_.members.erase({node->snapshot_rank, node});
  CHECK_EQ(removed, 1u) << "no snapshot at depth " << node->depth;
  node->snapshot_taker = 0;
  node->snapshot_rank = {snapshots_.clock + node->snapshot_worth, ++num_touches_};
  snapshots_.members.emplace(node->snapshot_rank, node);
}

SlotRef PrefixCache::TakeSnapshot(PrefixNode* node) {
  const size_t removed = snapshots_.members.erase({node->snapshot_rank, node});
  CHECK_EQ(removed, 1u) << "no snapshot at depth " << node->depth;
  const bool was_leaf = node->num_users == 0 && leaves_.members.erase({node->block_rank, node}) > 0;
  SlotRef slot = std::exchange(node->snapshot, {});
  node->snapshot_taker = 0;
  node->block_rank.value = std::min(node->block_rank.value, leaves_.clock + BlockWorth(*node));
  if (was_leaf) leaves_.members.emplace(node->block_rank, node);
  return slot;
}

bool PrefixCache::EvictSnapshot() {
  if (snapshots_.members.empty()) return false;
  const auto [rank, node] = *snapshots_.members.begin();
  snapshots_.clock = rank.value;
  ++evicted_snapshots_;
  TakeSnapshot(node);
  return true;
}

bool PrefixCache::EvictSnapshotBelow(int64_t worth) {
  if (snapshots_.members.empty()) return false;
  return snapshots_.members.begin()->first.value <= snapshots_.clock + worth && EvictSnapshot();
}

void PrefixCache::Reset() {
  while (!snapshots_.members.empty()) TakeSnapshot(snapshots_.members.begin()->second);
  while (!leaves_.members.empty()) Remove(leaves_.members.begin()->second);
}

}  // namespace braid
