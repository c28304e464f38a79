// One token stream inside the scheduler: what is known of it, how far it is planned, what it holds.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/block_pool.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/sequence_event.h"
#include "scheduler/state_slot_pool.h"
#include "scheduler/step_plan.h"

namespace braid {

// Who comes first. The ticket counts arrivals, so no two sequences are equal.
struct SequenceOrder {
  int priority = 0;  // 0 for all under Policy::kFcfs
  int64_t arrival_ns = 0;
  uint64_t ticket = 0;
  auto operator<=>(const SequenceOrder&) const = default;
};

enum class SequenceStatus { kWaiting, kRunning, kEnded };

struct Sequence {
  // Takes what `arrival` says; `max_length` bounds prompt and output together.
  Sequence(SequenceArrival arrival, SequenceOrder order, int32_t max_length);

  // The request.
  const SequenceId id;
  const SequenceOrder order;
  const int32_t prompt_tokens;
  const int32_t max_length;
  const int32_t min_tokens;
  const int64_t deadline_ns;  // 0: none
  const std::string cache_salt;
  const bool computes_all, holds;
  std::vector<int32_t> stop_token_ids;  // rising

  // Progress. The tokens known are the prompt and the committed output; those in flight are sampled by launched steps
  // and not committed. While it decodes, num_computed == num_known() + num_in_flight + drafts_in_flight - 1.
  std::vector<int32_t> tokens;
  int32_t num_loaded = 0;     // positions that the next admission loads
  int32_t num_in_flight = 0;  // drafts not counted
  int32_t drafts_in_flight = 0;
  int32_t num_computed = 0;  // positions that launched steps compute, since its last admission
  int32_t prefill_end = 0;   // tokens known at its last admission: computed as a prompt
  uint64_t last_epoch = 0;   // last plan with a step of it
  int32_t num_drafts = 0;       // for the next plan
  std::vector<int32_t> drafts;  // they themselves, unless the ranks make them
  int32_t next_full_end = 0; // a step that reaches this position fills a block

  // Where its state is wanted: positions where prompt chunks are cut for a snapshot, 0: none.
  int32_t branch_position = 0;    // where it left the blocks of others
  int32_t prompt_position = 0;    // the last block boundary with a token of the prompt behind it
  int32_t snapshot_position = 0;  // of the last snapshot on its path that others may keep
  PrefixNode* newest_snapshot = nullptr;  // on its path, moved on as it decodes; may have lost it

  // What it holds while it runs.
  int32_t row = -1;  // >= 0 also after a preemption, until no launched step names the row
  std::vector<BlockRef> blocks;
  PrefixHold prefix;  // its blocks in the prefix cache, which may be others with equal tokens
  SlotRef state_slot;

  SequenceStatus status = SequenceStatus::kWaiting;
  bool failed = false;  // its logits were not finite
  int num_preemptions = 0;
  int64_t first_scheduled_ns = 0;
  int32_t cached_tokens = 0;  // not computed at its first admission

  int32_t num_known() const { return static_cast<int32_t>(tokens.size()); }
  bool prefilling() const { return num_computed < prefill_end; }
  // Where its next chunk ends at the latest: at a position whose state is wanted, or the end of what is known.
  int32_t ChunkEnd() const {
    if (num_computed < branch_position) return branch_position;
    return num_computed < prompt_position ? prompt_position : prefill_end;
  }
  // The tokens in flight certainly fill it: no more may be planned.
  bool full() const { return num_known() + num_in_flight >= max_length; }

  // Adds an output token; returns whether it ends the sequence, and the reason.
  bool Append(int32_t token, EndReason* reason);
};

}  // namespace braid
