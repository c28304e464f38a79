// One rank: its weights, pools and mirrored sequences. Runs a plan in three parts: Draft, Forward and Sample.
#pragma once

#include <memory>
#include <vector>

#include "engine/batch_builder.h"
#include "engine/drafting/head_drafter.h"
#include "engine/handover/sequence_memory.h"
#include "engine/kv_pool.h"
#include "engine/sampling/sampler.h"
#include "engine/state_pool.h"
#include "models/model.h"

namespace braid {

// What one logit row gave: a drawn token, or the logprob of the prompt's own next token. Behind drafts that do not hold
// nothing is given.
struct RowOutput {
  LogitRow where;
  SampledRow sampled;
};

struct RunnerShape {
  CacheLayout cache;           // the model's and its draft head's, if there is one; grid and drafts filled in
  DType kv_dtype = DType::kF32;
  int block_size = 32;
  int state_grid = 32;
  int num_blocks = 0;
  int num_state_slots = 0;     // those of snapshots included
  int max_tokens_per_step = 0; // rows of a batch at most
  int max_sequences = 0;
};

// Answers what an admitted sequence is to be loaded with.
using ImageOf = std::function<std::shared_ptr<const SequenceImage>(SequenceId)>;

// The weights that one rank walks.
struct LoadedModel {
  std::unique_ptr<Model> model;
  std::unique_ptr<DraftHead> draft_head;  // null: nobody asks it
  int64_t weight_bytes() const {
    return model->weight_bytes() + (draft_head != nullptr ? draft_head->weight_bytes() : 0);
  }
};

// Thread: the engine's; the backend's team walks with it.
class ModelRunner {
 public:
  // ResourceExhausted when the backend has not the memory for `shape`. Borrows both. Without a draft head plans bring
  // their drafts with them.
  static absl::StatusOr<std::unique_ptr<ModelRunner>> Make(const LoadedModel& loaded, Backend& backend,
                                                           const RunnerShape& shape);

  // Applies the plan to the mirrored table, restores states, and puts the plan's drafts behind their rows' tokens.
  void Draft(const StepPlan& plan, const SpecOf& spec_of, const ImageOf& image_of);

  // Runs the plan's tokens through the layers, writes the draft head's rows of them and takes its snapshots.
  void Forward(const StepPlan& plan, const SpecOf& spec_of);

  // Computes the wanted logits in slices and draws the tokens; they join their rows in the table, without the drafts
  // that differ from them.
  std::vector<RowOutput> Sample(const SpecOf& spec_of);

  // The pools, for copies of what nobody writes.
  const SequenceMemory& memory() const { return sequence_memory_; }

  // Step memory that `model` needs in a step of `max_tokens_per_step` rows.
  static size_t ScratchBytes(const LoadedModel& loaded, Backend& backend, const RunnerShape& shape);
  // Memory that a runner takes beside its pools.
  static int64_t FixedBytes(const LoadedModel& loaded, Backend& backend, const RunnerShape& shape);

 private:
  struct Pools {
    KvPool kv;
    StatePool state;
    Bytes hidden, logits;
  };
  ModelRunner(const LoadedModel& loaded, Backend& backend, const RunnerShape& shape, Pools pools,
              std::unique_ptr<HeadDrafter> drafter);
  CacheView View() const { return {pools_.kv.layers(), pools_.state.layers(), shape_.cache.mamba}; }
  CacheView HeadView() const { return View().Behind(model_.info().cache); }
  void RestoreStates(const StepPlan& plan, const ImageOf& image_of);
  void SnapshotStates(const StepPlan& plan);
  size_t Accept(size_t i, std::vector<RowOutput>* outputs);
  size_t RunEnd(size_t begin) const;
  void SampleRun(int64_t begin, int64_t end);
  void SampleSlice(Ops& op, int64_t begin, int64_t end);

  const Model& model_;
  const DraftHead* const draft_head_;
  Backend& backend_;
  const RunnerShape shape_;
  const Pools pools_;
  const SequenceMemory sequence_memory_;
  SequenceTable table_;
  BatchBuilder builder_;
  std::unique_ptr<HeadDrafter> head_drafter_;  // null without a draft head
  TensorView hidden_;                     // [rows wanted of the batch, hidden]
  // Of the step under way, one a logit row.
  std::vector<SampleRow> sample_rows_;
  std::vector<int32_t> next_tokens_, top_counts_, hidden_rows_;
  std::vector<SampledRow> sampled_;
};

}  // namespace braid
