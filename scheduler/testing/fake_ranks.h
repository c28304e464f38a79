// Ranks without a model: a mirrored table of sequences built from plans alone, numbers in the cache behind the block
// ids, and a next token that depends on every position the cache should hold. The first breach of the plan protocol is
// kept as text.
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

  // What position `position` leaves in the cache.
  static uint64_t CacheValue(int32_t token, int32_t position);
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

  int num_in_flight() const { return static_cast<int>(in_flight_.size()); }
  int blocks_held() const { return blocks_held_; }
  uint64_t tokens_computed() const { return tokens_computed_; }
  const std::string& breach() const { return breach_; }  // the first; empty: none

 private:
  struct Row {
    bool live = false;
    SequenceId id = 0;
    int32_t state_slot = -1;
    std::vector<int32_t> tokens;
    int32_t admitted_tokens = 0;
    int32_t num_computed = 0;
    std::vector<int32_t> blocks;
  };
  struct Launched {
    StepResult result;
    std::vector<bool> named;  // by row
  };
  struct State {
    int32_t row = -1;
    uint64_t value = 0;
  };

  void Release(int32_t row);
  void Admit(const RowAdmission& admission);
  void AddBlocks(const RowBlocks& added);
  void Compute(const SequenceStep& step, Launched* launched);
  void CheckOrderAndBudget(const StepPlan& plan);
  uint64_t& CacheAt(const Row& row, int32_t position);
  void Expect(bool holds, const char* what, uint64_t subject);

  const FakeModel model_;
  const SchedulerConfig config_;
  const SchedulerLimits limits_;
  std::vector<Row> rows_;
  std::vector<int32_t> block_owner_;  // row, or -1
  std::vector<uint64_t> cache_;       // [blocks, block_size]
  std::vector<State> states_;         // by slot
  std::deque<Launched> in_flight_;
  uint64_t last_epoch_ = 0, tokens_computed_ = 0;
  int blocks_held_ = 0;
  std::string breach_;
};

}  // namespace braid
