// The scheduler's dealings with the prefix cache: what an admitted sequence finds there, what steps add to it, and how
// blocks and slots come back from it.
#include "kernels/base/errors.h"
#include "scheduler/scheduler.h"

namespace braid {

// ---- Admission

// Whether the sequence's blocks, those that it shares with the running taken off, are free or idle in the cache.
bool Scheduler::FitsIn(const Sequence& sequence) {
  const int wanted = BlocksFor(sequence.num_known() + 1), at_hand = blocks_.num_free() + prefix_cache_.num_idle();
  if (wanted <= at_hand) return true;
  if (!caches_prefixes_ || sequence.computes_all || sequence.num_loaded > 0) return false;
  // Long prompts are not looked up again before something has come back.
  if (refused_ == sequence.id && refused_at_release_ == num_releases_) return false;
  const PrefixMatch match = prefix_cache_.Match(sequence.cache_salt, sequence.tokens);
  if (wanted - PrefixCache::NumHeld(match.usable) <= at_hand) return true;
  refused_ = sequence.id;
  refused_at_release_ = num_releases_;
  return false;
}

PrefixMatch Scheduler::MatchFor(const Sequence& sequence) const {
  if (!caches_prefixes_ || sequence.computes_all || sequence.num_loaded > 0) return {};
  return prefix_cache_.Match(sequence.cache_salt, sequence.tokens);
}

// Gives an admitted sequence its state slot and the cached blocks it starts behind. One that is loaded has all blocks to
// itself; its first step adds the full ones to the cache.
RowAdmission Scheduler::StartBehindPrefix(Sequence& sequence) {
  const PrefixMatch match = MatchFor(sequence);
  const int size = config_.block_size;
  const int32_t loaded = std::exchange(sequence.num_loaded, 0);
  sequence.num_computed = loaded > 0 ? loaded : PrefixMatch::DepthOf(match.usable) * size;
  sequence.next_full_end = sequence.num_computed + (loaded > 0 ? 1 : size);
  sequence.prefix = prefix_cache_.Hold(match.usable);
  prefix_cache_.ShareBlocks(match.usable, &sequence.blocks);
  sequence.snapshot_position = loaded > 0 ? 0 : sequence.num_computed;
  sequence.branch_position = sequence.prompt_position = 0;
  if (takes_snapshots_ && config_.chunked_prefill != ChunkedPrefill::kOff) {
    sequence.branch_position = PrefixMatch::DepthOf(match.deepest) * size;
    sequence.prompt_position = (sequence.prefill_end - 1) / size * size;
  }
  if (sequence.num_preemptions == 0 && loaded == 0) CountLookup(sequence, match);
  RowAdmission admission = {.row = sequence.row,
                            .id = sequence.id,
                            .tokens = sequence.tokens,
                            .prompt_tokens = sequence.prompt_tokens,
                            .start = sequence.num_computed,
                            .loads = loaded > 0};
  if (limits_.num_state_slots == 0) return admission;
  if (match.usable != nullptr) {
    admission.restored_slot = match.usable->snapshot.id();
    prefix_cache_.Use(match.usable);
  }
  sequence.state_slot = TakeStateSlot();  // the restored one itself when there is no other
  admission.state_slot = sequence.state_slot.id();
  return admission;
}

void Scheduler::CountLookup(Sequence& sequence, const PrefixMatch& match) {
  const auto missed = [this](PrefixMiss reason) { ++prefix_counters_.misses[static_cast<int>(reason)]; };
  if (!caches_prefixes_ || sequence.computes_all) return missed(PrefixMiss::kDisabled);
  const int unusable = PrefixMatch::DepthOf(match.deepest) - PrefixMatch::DepthOf(match.usable);
  sequence.cached_tokens = sequence.num_computed;
  prefix_counters_.queried_tokens += sequence.prompt_tokens;
  prefix_counters_.hit_tokens += sequence.num_computed;
  prefix_counters_.tokens_without_snapshot += int64_t{unusable} * config_.block_size;
  if (match.usable != nullptr) return;
  if (sequence.prompt_tokens <= config_.block_size) return missed(PrefixMiss::kTooShort);
  missed(match.deepest == nullptr ? PrefixMiss::kNoPrefix : PrefixMiss::kNoSnapshot);
}

// ---- What the cache holds is there for the asking

// Takes a free block, or an idle one from the cache; there must be one.
BlockRef Scheduler::TakeBlock() {
  if (blocks_.num_free() == 0) prefix_cache_.EvictBlock();
  return blocks_.Take();
}

bool Scheduler::HasStateSlot() const {
  return limits_.num_state_slots == 0 || slots_.num_free() > 0 || prefix_cache_.num_snapshots() > 0 ||
         !pending_snapshots_.empty();
}

// Takes a free slot, or a snapshot's. Ranks work plan by plan, so a slot that a launched step still copies to will be
// written again before it is read.
SlotRef Scheduler::TakeStateSlot() {
  if (slots_.num_free() == 0 && !prefix_cache_.EvictSnapshot()) pending_snapshots_.pop_back();
  return slots_.Take();
}

// ---- Snapshots: at a branch, before the end of the prompt, and the newest block boundary of the output

// Runs after the admissions, so that no snapshot takes a slot that a sequence could have run in.
void Scheduler::PlanSnapshots(Building& step) {
  if (!takes_snapshots_) return;
  for (const Filled& filled : step.filled) {
    const Sequence& sequence = *rows_[filled.row];
    const int32_t position = SnapshotPosition(sequence, filled);
    if (position == 0) continue;
    SlotRef slot = SlotForSnapshot(sequence, position);
    if (slot.id() < 0) continue;
    step.plan.snapshots.push_back({filled.row, slot.id()});
    pending_snapshots_.push_back({step.plan.epoch, {filled.row, filled.id, position}, std::move(slot)});
  }
}

// The position of the state that the step leaves behind, where a snapshot of it is wanted; else 0. A block boundary
// that accepted drafts have crossed is filled by the step after: the state is folded up to it then, and the raw rows
// before it are still there, unless a grid line behind it has been crossed as well.
int32_t Scheduler::SnapshotPosition(const Sequence& sequence, const Filled& filled) const {
  if (filled.end <= sequence.prefill_end) {
    const bool wanted = filled.end == sequence.branch_position || filled.end == sequence.prompt_position ||
                        filled.end == sequence.prefill_end;
    return wanted && filled.end % config_.block_size == 0 ? filled.end : 0;
  }
  const int32_t state_position = filled.end / config_.state_grid * config_.state_grid;
  return state_position % config_.block_size == 0 ? state_position : 0;
}

// A free slot, that of the sequence's own newest snapshot, or that of one worth less; else none.
SlotRef Scheduler::SlotForSnapshot(const Sequence& sequence, int32_t position) {
  if (slots_.num_free() == 0) {
    PrefixNode* const newest = sequence.newest_snapshot;
    if (newest != nullptr && newest->snapshot_taker == sequence.id) return prefix_cache_.TakeSnapshot(newest);
    if (!prefix_cache_.EvictSnapshotBelow(position - sequence.snapshot_position)) return {};
  }
  return slots_.Take();
}

// ---- Commit: what steps have computed

// The sequence of a committed step if it still runs.
Sequence* Scheduler::RunningIn(const Filled& filled) const {
  Sequence* const sequence = rows_[filled.row];
  const bool runs = sequence != nullptr && sequence->id == filled.id && sequence->status == SequenceStatus::kRunning;
  return runs ? sequence : nullptr;
}

// Adds the full blocks to the cache. Who comes second with equal tokens keeps its own block beside the cached one.
void Scheduler::PublishBlocks(const Launched& launched) {
  const int size = config_.block_size;
  for (const Filled& filled : launched.filled) {
    Sequence* const sequence = RunningIn(filled);
    if (sequence == nullptr) continue;
    CHECK_LE(filled.end, sequence->num_known()) << "sequence " << filled.id;
    for (int32_t end = (sequence->prefix.depth() + 1) * size; end <= filled.end; end += size) {
      const std::span<const int32_t> tokens(sequence->tokens.data() + end - size, size);
      prefix_cache_.Extend(&sequence->prefix, sequence->cache_salt, tokens, sequence->blocks[end / size - 1]);
    }
  }
}

void Scheduler::KeepSnapshots(uint64_t epoch) {
  size_t num_done = 0;
  for (PendingSnapshot& pending : pending_snapshots_) {
    if (pending.epoch > epoch) break;
    ++num_done;
    if (Sequence* const sequence = RunningIn(pending.at)) KeepSnapshot(*sequence, pending);
  }
  pending_snapshots_.erase(pending_snapshots_.begin(), pending_snapshots_.begin() + num_done);
}

// Of the output only the newest is kept, unless somebody has started from an older one.
void Scheduler::KeepSnapshot(Sequence& sequence, PendingSnapshot& pending) {
  PrefixNode* const node = sequence.prefix.node();
  CHECK_EQ(PrefixMatch::DepthOf(node) * config_.block_size, pending.at.end) << "sequence " << sequence.id;
  const bool in_prompt = pending.at.end < sequence.prefill_end;
  if (!in_prompt) {
    PrefixNode* const older = std::exchange(sequence.newest_snapshot, node);
    if (older != nullptr && older != node && older->snapshot_taker == sequence.id) prefix_cache_.TakeSnapshot(older);
  }
  if (node->snapshot.id() < 0) {
    const int64_t worth = pending.at.end - sequence.snapshot_position;
    prefix_cache_.Keep(node, std::move(pending.slot), in_prompt ? 0 : sequence.id, worth);
  }
  if (in_prompt) sequence.snapshot_position = pending.at.end;
}

}  // namespace braid
