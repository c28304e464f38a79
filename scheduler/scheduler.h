// Who runs next. A pure, deterministic state machine: no threads, no clock of its own, no I/O. Events go in (Apply),
// plans come out (Plan), results go in (Commit). Plan may be called once more before the result of the last plan is
// committed (depth 1): lengths of sequences in flight are then upper bounds.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "scheduler/block_pool.h"
#include "scheduler/prefix_cache.h"
#include "scheduler/prefix_counters.h"
#include "scheduler/scheduler_config.h"
#include "scheduler/sequence.h"
#include "scheduler/sequence_event.h"
#include "scheduler/state_slot_pool.h"
#include "scheduler/step_plan.h"
#include "scheduler/waiting_line.h"

namespace braid {

// What the memory holds and the model can do.
struct SchedulerLimits {
  int num_blocks = 0;       // 0: the model keeps no K and V
  int num_state_slots = 0;  // running sequences and snapshots; 0: the model has no recurrent state
  int max_model_len = 0;    // prompt + output tokens of a sequence
};

struct SchedulerStats {
  int running = 0, waiting = 0;
  int blocks_used = 0, blocks_total = 0;            // used by sequences, each counted once
  int blocks_cached = 0;                            // held by the prefix cache alone: there for the asking
  int state_slots_used = 0, state_slots_total = 0;  // used by sequences
  int snapshots = 0;                                // slots that hold one
  int held = 0;                                     // ended sequences that keep their blocks
  uint64_t preemptions = 0;
  PrefixCounters prefix;
};

// What the front may ask of a live sequence, and of one that has ended until the next Apply.
struct SequenceInfo {
  int64_t first_scheduled_ns = 0;  // 0: not yet
  int num_preemptions = 0;
  int cached_tokens = 0;           // of its prompt, not computed
};

// What an ended sequence keeps for another process; see SequenceArrival::holds.
struct HeldSequence {
  int32_t num_computed = 0;          // positions in the blocks, and of the state
  std::vector<int32_t> blocks;
  int32_t state_slot = -1;           // -1: the model has no recurrent state
};

// Thread: engine.
class Scheduler {
 public:
  Scheduler(const SchedulerConfig& config, const SchedulerLimits& limits);
  Scheduler(const Scheduler&) = delete;

  // OK when a sequence of such length can ever run: InvalidArgument names the limit it breaks (context, blocks).
  absl::Status CanEverRun(int64_t prompt_tokens, int64_t max_tokens) const;

  // Takes in what happened outside. Sequences that a cancel or a passed deadline ended are returned; their blocks are
  // free before the next plan unless a launched step may still touch them. An arrival past the limits of CanEverRun is
  // cut to them, or fails when not even one token of output fits.
  std::vector<Committed> Apply(std::vector<SchedulerEvent> events, int64_t now_ns);

  // Returns the next step: decodes first, then prompt chunks within the token budget. Empty when nothing can run: an
  // empty plan has epoch 0, changes nothing and need not be launched or committed.
  StepPlan Plan();

  // Takes the tokens of the oldest plan not yet committed. Results of sequences that have ended since are dropped.
  std::vector<Committed> Commit(const StepResult& result);

  bool HasWork() const;  // a sequence is waiting or running
  SchedulerStats Stats() const;
  SequenceInfo Info(SequenceId id) const;
  // Of a sequence that holds, from the commit that ended it by its length until its release. None where its last token
  // came while it was preempted: nothing is left of it.
  std::optional<HeldSequence> Held(SequenceId id) const;

  // Rows of the ranks' table: the sequences that run at once, no more than the token budget can decode.
  int num_rows() const { return static_cast<int>(rows_.size()); }

 private:
  // What an ended or preempted sequence held, while launched steps may still touch it.
  struct Retiring {
    uint64_t epoch;  // last plan that names the row
    int32_t row;
    std::vector<BlockRef> blocks;
    PrefixHold prefix;
    SlotRef state_slot;
    bool failed;  // what it computed leaves the prefix cache
  };
  struct Keepsake {
    int32_t num_computed;
    std::vector<BlockRef> blocks;
    PrefixHold prefix;
    SlotRef state_slot;
  };
  // A step that fills a block of its row: positions [.., end) are computed after it.
  struct Filled {
    int32_t row;
    SequenceId id;
    int32_t end;
  };
  struct Launched {
    uint64_t epoch;
    int num_samples, num_drafts;
    std::vector<Filled> filled;
  };
  // A state that a launched step writes to `slot`; it joins the prefix cache when the step is committed.
  struct PendingSnapshot {
    uint64_t epoch;
    Filled at;
    SlotRef slot;
  };
  // The plan being built.
  struct Building {
    StepPlan plan;
    int tokens_left = 0;
    int num_samples = 0, num_drafts = 0;
    int num_prompts = 0;     // prompt chunks in it
    int blocks_awaited = 0;  // retiring blocks that its stalled decodes count on
    std::vector<Filled> filled;
  };

  void Arrive(SequenceArrival arrival, std::vector<Committed>* ended);
  void Cancel(SequenceId id, std::vector<Committed>* ended);
  void EndOverdue(std::vector<Committed>* ended);
  void CommitToken(Sequence& sequence, int32_t token, std::vector<Committed>* committed);
  void Keep(Sequence& sequence);
  void End(Sequence& sequence);
  void ShortenRunning();
  void ForgetEnded();

  void PlanDecodes(Building& step);
  void BoundStall(Building& step);
  void PlanChunks(Building& step);
  void PlanAdmissions(Building& step);
  void AddChunk(Sequence& sequence, Building& step);
  void AddStep(Sequence& sequence, int32_t num_tokens, Building& step);
  int32_t ChunkSize(const Sequence& sequence, int budget) const;
  bool HasPlaceFor(const Sequence& sequence);
  bool BudgetAllows(const Sequence& sequence, const Building& step) const;
  void Admit(Sequence& sequence, Building& step);
  bool GrowForDecode(Sequence& sequence, Building& step);

  // Speculation; in scheduler_drafts.cc.
  void TakeDrafts(SequenceDrafts drafts);
  void PlanDrafts(Building& step);
  int32_t GrowForDrafts(Sequence& sequence, int32_t wanted, Building& step);
  size_t CommitStep(Sequence& sequence, std::span<const SequenceResult> results, std::vector<Committed>* committed);

  // The prefix cache; in scheduler_prefix.cc.
  bool FitsIn(const Sequence& sequence);
  RowAdmission StartBehindPrefix(Sequence& sequence);
  PrefixMatch MatchFor(const Sequence& sequence) const;
  void CountLookup(Sequence& sequence, const PrefixMatch& match);
  BlockRef TakeBlock();
  bool HasStateSlot() const;
  SlotRef TakeStateSlot();
  void PlanSnapshots(Building& step);
  int32_t SnapshotPosition(const Sequence& sequence, const Filled& filled) const;
  SlotRef SlotForSnapshot(const Sequence& sequence, int32_t position);
  Sequence* RunningIn(const Filled& filled) const;
  void PublishBlocks(const Launched& launched);
  void KeepSnapshots(uint64_t epoch);
  void KeepSnapshot(Sequence& sequence, PendingSnapshot& pending);

  void Preempt(Sequence& sequence);
  void Retire(Sequence& sequence);
  void Release(Retiring& retiring);
  void ReleaseRetired();
  int BlocksFor(int64_t num_tokens) const;

  const SchedulerConfig config_;
  const SchedulerLimits limits_;
  BlockPool blocks_;        // before all that holds its blocks
  StateSlotPool slots_;
  PrefixCache prefix_cache_;
  const bool caches_prefixes_, takes_snapshots_;
  absl::flat_hash_map<SequenceId, std::unique_ptr<Sequence>> sequences_;
  absl::flat_hash_map<SequenceId, Keepsake> held_;
  std::vector<SequenceId> ended_;             // since the last Apply: still in sequences_
  std::set<std::pair<int64_t, SequenceId>> deadlines_;
  WaitingLine waiting_;
  std::vector<Sequence*> running_;            // by order: the last is the first to be preempted
  bool running_has_ended_ = false;            // within a call: some of running_ have ended

  std::vector<SequenceId> drafted_;           // those with drafts for the next plan
  std::vector<Sequence*> rows_;               // by row: whom the row's results are for; null: nobody
  std::vector<int32_t> free_rows_;
  std::vector<int32_t> released_rows_;        // not yet told to the ranks
  std::vector<Retiring> retiring_;
  int retiring_blocks_ = 0;                   // shared ones included, which may not come free
  std::vector<PendingSnapshot> pending_snapshots_;  // by epoch
  SequenceId refused_ = 0;                    // the first of the line had too few blocks, shared ones counted,
  uint64_t refused_at_release_ = 0;           // when so many rows had been released
  uint64_t num_releases_ = 0;
  PrefixCounters prefix_counters_;

  std::deque<Launched> launched_;             // not yet committed, at most two
  uint64_t last_epoch_ = 0, committed_epoch_ = 0;
  uint64_t num_arrivals_ = 0, num_preemptions_ = 0;
  int64_t now_ns_ = 0;                        // of the last Apply
  double fixed_tokens_ = 0;                   // of the last StepCost
  bool batch_open_ = false;                   // static batching: the present batch still fills
  int batch_size_ = 0;                        // sequences it has taken
};

}  // namespace braid
