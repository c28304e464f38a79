#include "engine/drafting/head_drafter.h"

#include <algorithm>

#include "engine/ranks/drawn_tokens.h"

namespace braid {
namespace {

// Of the token behind the row's last.
SampleRow GreedyRow(const SequenceStep& step, const SequenceRow& row, const SamplingSpec* spec) {
  SampleRow greedy;
  const LogitRow where{.row = step.row, .id = step.id, .position = static_cast<int32_t>(row.tokens.size()) - 1};
  if (spec != nullptr) greedy = SampleRowOf(where, row, *spec);
  greedy.temperature = 0;
  greedy.top_logprobs = -1;
  return greedy;
}

}  // namespace

absl::StatusOr<std::unique_ptr<HeadDrafter>> HeadDrafter::Make(const Model& model, const DraftHead& head,
                                                               Backend& backend, int max_rows) {
  const size_t bytes = sizeof(float) * static_cast<size_t>(max_rows) * static_cast<size_t>(model.info().hidden_size);
  ASSIGN_OR_RETURN(Bytes before, backend.Allocate(bytes));
  ASSIGN_OR_RETURN(Bytes hidden, backend.Allocate(bytes));
  return std::unique_ptr<HeadDrafter>(new HeadDrafter(model, head, backend, std::move(before), std::move(hidden)));
}

void HeadDrafter::Draft(const StepPlan& plan, const CacheView& cache, const SpecOf& spec_of, SequenceTable* table) {
  steps_.clear();
  for (const SequenceStep& step : plan.steps) {
    if (step.num_drafts > 0 && step.drafts.empty()) steps_.push_back(&step);
  }
  kept_.clear();
  for (int pass = 0; !steps_.empty(); ++pass) {
    Guess(pass, cache, spec_of, table);
    std::vector<const SequenceStep*> more;
    kept_.clear();
    for (size_t i = 0; i < steps_.size(); ++i) {
      // Logits that are not finite guess 0: what the model itself draws there decides.
      table->row(steps_[i]->row).tokens.push_back(std::max(sampled_[i].token, 0));
      if (steps_[i]->num_drafts == pass + 1) continue;
      more.push_back(steps_[i]);
      kept_.push_back(static_cast<int32_t>(i));
    }
    steps_ = std::move(more);
  }
}

void HeadDrafter::Guess(int pass, const CacheView& cache, const SpecOf& spec_of, SequenceTable* table) {
  const RaggedBatch batch = BatchOf(pass, *table);
  sample_rows_.clear();
  for (const SequenceStep* step : steps_) sample_rows_.push_back(GreedyRow(*step, table->row(step->row), spec_of(step->id)));
  sampled_.assign(steps_.size(), {});
  const int64_t rows = batch.num_tokens(), width = model_.info().hidden_size;
  const int64_t max_rows = static_cast<int64_t>(hidden_memory_.size() / sizeof(float)) / width;
  const TensorView all = TensorView::Of(hidden_memory_.as<float>(), max_rows, width);
  const TensorView hidden = TensorView::Of(hidden_memory_.as<float>(), rows, width);
  TensorView before;
  if (pass > 0) before = TensorView::Of(before_memory_.as<float>(), rows, width);
  backend_.Run([&](Ops& op) {
    if (pass > 0) op.GatherRows(all, kept_, before);
    Pass(op, model_, head_, batch, cache, before, hidden, sample_rows_, sampled_);
  });
  ShareTokens(backend_.communicator(), sampled_);
}

// The last known token of each sequence, at the position behind the pass's drafts.
RaggedBatch HeadDrafter::BatchOf(int pass, const SequenceTable& table) {
  ids_.clear();
  positions_.clear();
  spans_.clear();
  for (const SequenceStep* step : steps_) {
    const SequenceRow& row = table.row(step->row);
    spans_.push_back({.first_row = static_cast<int32_t>(ids_.size()),
                      .num_tokens = 1,
                      .start = step->start + pass,
                      .num_committed = 1,
                      .blocks = row.blocks.data(),
                      .num_blocks = static_cast<int32_t>(row.blocks.size()),
                      .state_slot = row.state_slot,
                      .state_position = row.state_position});
    ids_.push_back(row.tokens.back());
    positions_.push_back(step->start + pass);
    CHECK_EQ(static_cast<size_t>(step->start + pass + 1), row.tokens.size()) << "sequence " << step->id;
  }
  return {ids_, positions_, spans_, {}};
}

void HeadDrafter::Pass(Ops& op, const Model& model, const DraftHead& head, const RaggedBatch& batch,
                       const CacheView& cache, TensorView before, TensorView hidden, std::span<const SampleRow> rows,
                       std::span<SampledRow> sampled) {
  head.Guess(op, batch, cache, before, hidden);
  for (int64_t begin = 0; begin < hidden.rows; begin += kLogitSlice) {
    Scratch::Scope scope(op.scratch());
    const int64_t count = std::min(kLogitSlice, hidden.rows - begin);
    const TensorView logits = op.scratch().Matrix(count, model.info().vocab_size);
    model.Logits(op, TensorView::Of(hidden.row(begin), count, hidden.cols), logits);
    if (op.place().rank == 0) op.Sample({logits, rows.subspan(begin, count), sampled.subspan(begin, count)});
  }
}

}  // namespace braid
