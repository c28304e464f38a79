// Guesses by a model's draft head: chained passes of one token a sequence, just before the step that verifies them.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "engine/sampling/sampler.h"
#include "engine/sequence_table.h"
#include "models/model.h"

namespace braid {

// Thread: its rank's.
class HeadDrafter {
 public:
  // For at most `max_rows` sequences a step. ResourceExhausted when the backend has not the memory.
  static absl::StatusOr<std::unique_ptr<HeadDrafter>> Make(const Model& model, const DraftHead& head, Backend& backend,
                                                           int max_rows);

  // Makes the drafts that `plan` leaves to the head and puts them behind their rows' tokens. Each is the token that the
  // sequence's parameters choose greedily of the head's logits. `cache` is the head's part.
  void Draft(const StepPlan& plan, const CacheView& cache, const SpecOf& spec_of, SequenceTable* table);

  // The operations of a pass over the rows of `batch`, without data in `before` the first one; `sampled` [rows].
  static void Pass(Ops& op, const Model& model, const DraftHead& head, const RaggedBatch& batch, const CacheView& cache,
                   TensorView before, TensorView hidden, std::span<const SampleRow> rows, std::span<SampledRow> sampled);

 private:
  HeadDrafter(const Model& model, const DraftHead& head, Backend& backend, Bytes before, Bytes hidden)
      : model_(model), head_(head), backend_(backend), before_memory_(std::move(before)), hidden_memory_(std::move(hidden)) {}
  void Guess(int pass, const CacheView& cache, const SpecOf& spec_of, SequenceTable* table);
  RaggedBatch BatchOf(int pass, const SequenceTable& table);

  const Model& model_;
  const DraftHead& head_;
  Backend& backend_;
  Bytes before_memory_, hidden_memory_;   // [max_rows, hidden]
  // Of the pass under way, one a sequence.
  std::vector<const SequenceStep*> steps_;
  std::vector<int32_t> kept_;             // its place in the pass before
  std::vector<int32_t> ids_, positions_;
  std::vector<SequenceSpan> spans_;
  std::vector<SampleRow> sample_rows_;
  std::vector<SampledRow> sampled_;
};

}  // namespace braid
