// Ranks without a model: a mirrored table of sequences built from plans alone, numbers in the cache behind the block
// ids and state slots, and a next token that depends on every position the cache should hold. What a position leaves
// depends on all before it, so that a block or state of another prefix is told apart. The first breach of the plan
// protocol is kept as text.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "scheduler/scheduler.h"

namespace braid {

// The model: a sequence's next token is a function of the tokens before it, and now and then a failure (-1).
struct FakeModel {
  int vocab_size = 32;
  int failures_in_1000 = 0;  // of the tokens drawn

  // What `token` leaves in the cache behind the position that left `before`.
  static uint64_t CacheValue(uint64_t before, int32_t token);
  // What the state holds after `token`.
  static uint64_t NextState(uint64_t state, int32_t token);
  // The token drawn where the values of positions [0, length) add up to `cache_sum`, and `state` has taken them in.
  int32_t Draw(SequenceId id, int32_t length, uint64_t cache_sum, uint64_t state) const;
};

// Returns the output of `arrival` when it runs alone; a failure is its last token, -1.
std::vector<int32_t> RunAlone(const FakeModel& model, const SchedulerLimits& limits, const SequenceArrival& arrival,
                              EndReason* reason);

class FakeRanks {
 public:
  FakeRanks(const FakeModel& model, const SchedulerConfig& config, const SchedulerLimits& limits, int num_rows);

  // Applies the plan's changes and computes its steps; the result waits for Finish.
  void Launch(const StepPlan& plan);
  // Returns the result of the oldest launched plan.
  StepResult Finish();

  // Whether the blocks and the slot that somebody keeps are those of the first `held.num_computed` of `tokens`.
  bool Keeps(const HeldSequence& held, const std::vector<int32_t>& tokens) const;

  int num_in_flight() const { return static_cast<int>(in_flight_.size()); }
  int blocks_held() const { return blocks_held_; }  // in tables of rows, each counted once
  // Who took what of whom over the last launch: the admitted, and the writers of the blocks and states given to them.
  struct Loan {
    SequenceId to, from;
  };
  const std::vector<Loan>& loans() const { return loans_; }
  uint64_t tokens_computed() const { return tokens_computed_; }  // drafts included
  uint64_t drafts_accepted() const { return drafts_accepted_; }
  uint64_t drafts_rejected() const { return drafts_rejected_; }
  const std::string& breach() const { return breach_; }  // the first; empty: none

 private:
  struct Row {
    bool live = false;
    SequenceId id = 0;
    int32_t state_slot = -1;
    std::vector<int32_t> tokens;
    int32_t admitted_tokens = 0;
    int32_t start = 0;  // computed by others before
    bool loads = false; // what lies before start comes from elsewhere
    int32_t num_computed = 0;
    int32_t folded = 0;            // the position that its state is folded up to
    std::vector<uint64_t> states;  // [n]: what the state held at position start + n
    std::vector<int32_t> blocks;
  };
  struct Launched {
    StepResult result;
    std::vector<bool> named;  // by row
  };
  struct State {
    int32_t row = -1;      // that computes in it; -1: none, or a snapshot
    int32_t position = 0;  // tokens taken in, those of rejected drafts not counted
    uint64_t value = 0;
    SequenceId writer = 0;
  };
  struct Block {
    int num_rows = 0;  // that have it in their tables
    SequenceId writer = 0;
  };

  void Release(int32_t row);
  void Admit(const RowAdmission& admission);
  void AdmitState(const RowAdmission& admission);
  void AddBlocks(const RowBlocks& added);
  void AddBlock(Row& row, int32_t block);
  void CheckShared(Row& row, int32_t block);
  void Load(const Row& row);
  void CheckStep(const SequenceStep& step, const Launched& launched);
  void Compute(const SequenceStep& step, Launched* launched);
  int32_t DrawAfter(Row& row, int32_t length);
  void TakeIn(Row& row, int32_t position);
  void Snapshot(const StateSnapshot& snapshot, const Launched& launched);
  void CheckOrderAndBudget(const StepPlan& plan);
  uint64_t& CacheAt(const Row& row, int32_t position);
  void Expect(bool holds, const char* what, uint64_t subject);

  const FakeModel model_;
  const SchedulerConfig config_;
  const SchedulerLimits limits_;
  std::vector<Row> rows_;
  std::vector<Block> blocks_;
  std::vector<uint64_t> cache_;       // [blocks, block_size]
  std::vector<State> states_;         // by slot
  std::deque<Launched> in_flight_;
  uint64_t last_epoch_ = 0, tokens_computed_ = 0;
  uint64_t drafts_accepted_ = 0, drafts_rejected_ = 0;
  int blocks_held_ = 0;
  std::vector<Loan> loans_;
  std::string breach_;
};

}  // namespace braid
