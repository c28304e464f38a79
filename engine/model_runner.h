// One rank: its weights, pools and mirrored sequences. Runs a plan in two parts, Forward and Sample.
#pragma once

#include <memory>
#include <vector>

#include "engine/batch_builder.h"
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
  CacheLayout cache;           // with grid and drafts filled in
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

// Thread: the engine's; the backend's team walks with it.
class ModelRunner {
 public:
  ModelRunner(const Model& model, Backend& backend, const RunnerShape& shape);

  // Applies the plan to the mirrored table, runs its tokens through the layers and takes its snapshots.
  void Forward(const StepPlan& plan, const SpecOf& spec_of, const ImageOf& image_of);

  // Computes the wanted logits in slices and draws the tokens; they join their rows in the table, without the drafts
  // that differ from them.
  std::vector<RowOutput> Sample(const SpecOf& spec_of);

  // The pools, for copies of what nobody writes.
  const SequenceMemory& memory() const { return sequence_memory_; }

  // Step memory that `model` needs in a step of `max_tokens_per_step` rows.
  static size_t ScratchBytes(const Model& model, Backend& backend, const RunnerShape& shape);

 private:
  void RestoreStates(const StepPlan& plan, const ImageOf& image_of);
  void SnapshotStates(const StepPlan& plan);
  size_t Accept(size_t i, std::vector<RowOutput>* outputs);
  void SampleSlice(Ops& op, int64_t begin, int64_t end);

  const Model& model_;
  Backend& backend_;
  const RunnerShape shape_;
  KvPool kv_;
  StatePool state_;
  const SequenceMemory sequence_memory_;
  SequenceTable table_;
  BatchBuilder builder_;
  Bytes hidden_memory_, logits_memory_;
  TensorView hidden_;                     // [logit rows at most, hidden]
  // Of the step under way, one a logit row.
  std::vector<SampleRow> sample_rows_;
  std::vector<int32_t> next_tokens_, top_counts_;
  std::vector<SampledRow> sampled_;
};

}  // namespace braid
