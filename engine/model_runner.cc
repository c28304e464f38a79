#include "engine/model_runner.h"

#include <algorithm>

#include "engine/ranks/drawn_tokens.h"

namespace braid {
namespace {

// A batch that touches every path: `sequences` equal parts of `tokens` rows, far into their contexts. Hidden vectors are
// wanted of all rows, or of the last ones.
struct FakeBatch {
  std::vector<int32_t> ids, positions, blocks, logit_rows;
  std::vector<SequenceSpan> spans;

  FakeBatch(int tokens, int sequences, bool all_hidden) : ids(tokens), positions(tokens), blocks(1) {
    for (int s = 0; s < sequences; ++s) {
      const int first = tokens * s / sequences, end = tokens * (s + 1) / sequences;
      spans.push_back({.first_row = first, .num_tokens = end - first, .num_committed = end - first, .state_slot = 0});
      spans.back().blocks = blocks.data();
      spans.back().num_blocks = 1;
      for (int row = all_hidden ? first : end - 1; row < end; ++row) logit_rows.push_back(row);
    }
  }
  RaggedBatch batch() const { return {ids, positions, spans, logit_rows}; }
};

// What a step of the draft head takes: rows behind the model's walk, and a guess of each sequence.
void WalkDraftHead(Ops& op, const Model& model, const DraftHead& head, const CacheView& cache, const FakeBatch& rows,
                   TensorView hidden, int sequences) {
  head.WriteRows(op, rows.batch(), cache, hidden);
  const FakeBatch guesses(sequences, sequences, false);
  const std::vector<SampleRow> sample_rows(sequences);
  std::vector<SampledRow> sampled(sequences);
  HeadDrafter::Pass(op, model, head, guesses.batch(), cache, {}, op.scratch().Matrix(sequences, hidden.cols),
                    sample_rows, sampled);
}

std::string FormOf(const Backend& backend) { return backend.Name().starts_with("cuda") ? "cuda" : "host"; }

// A cache's shape without memory behind it.
struct FakeCache {
  std::vector<KvLayer> kv;
  std::vector<StateLayer> state;

  explicit FakeCache(const RunnerShape& shape) : state(shape.cache.mamba.size()) {
    for (const AttentionCacheShape& layer : shape.cache.attention) {
      kv.push_back({.dtype = shape.kv_dtype, .block_size = shape.block_size, .kv_heads = layer.kv_heads, .head_dim = layer.head_dim});
    }
  }
};

size_t HiddenBytes(const Model& model, const RunnerShape& shape) {
  return sizeof(float) * static_cast<size_t>(shape.max_tokens_per_step) * static_cast<size_t>(model.info().hidden_size);
}

size_t LogitBytes(const Model& model) { return sizeof(float) * kLogitSlice * static_cast<size_t>(model.info().vocab_size); }

}  // namespace

size_t ModelRunner::ScratchBytes(const LoadedModel& loaded, Backend& backend, const RunnerShape& shape) {
  const Model& model = *loaded.model;
  const DraftHead* const draft_head = loaded.draft_head.get();
  const FakeCache memory(shape);
  const CacheView cache = {memory.kv, memory.state, shape.cache.mamba};
  const std::vector<SampleRow> sample_rows(kLogitSlice);
  std::vector<SampledRow> sampled(kLogitSlice);
  size_t bytes = 0;
  // Both extremes together bound every mixture; the range is reserved, pages come when touched.
  for (int sequences : {1, std::min(shape.max_sequences, shape.max_tokens_per_step)}) {
    const FakeBatch fake(shape.max_tokens_per_step, sequences, draft_head != nullptr);
    bytes += backend.MeasureScratch([&](Ops& op) {
      Scratch::Scope scope(op.scratch());
      const int64_t width = model.info().hidden_size;
      const TensorView hidden = op.scratch().Matrix(static_cast<int64_t>(fake.logit_rows.size()), width);
      model.Forward(op, fake.batch(), cache, hidden);
      if (draft_head != nullptr) {
        WalkDraftHead(op, model, *draft_head, cache.Behind(model.info().cache), fake, hidden, sequences);
      }
      const TensorView logits = op.scratch().Matrix(kLogitSlice, model.info().vocab_size);
      model.Logits(op, op.scratch().Matrix(kLogitSlice, width), logits);
      op.Sample({logits, sample_rows, sampled});
    });
  }
  return bytes;
}

int64_t ModelRunner::FixedBytes(const LoadedModel& loaded, Backend& backend, const RunnerShape& shape) {
  return static_cast<int64_t>(ScratchBytes(loaded, backend, shape) + HiddenBytes(*loaded.model, shape) + LogitBytes(*loaded.model));
}

absl::StatusOr<std::unique_ptr<ModelRunner>> ModelRunner::Make(const LoadedModel& loaded, Backend& backend,
                                                               const RunnerShape& shape) {
  RETURN_IF_ERROR(backend.ReserveScratch(ScratchBytes(loaded, backend, shape)));
  ASSIGN_OR_RETURN(KvPool kv, KvPool::Make(backend, shape.cache, shape.kv_dtype, shape.block_size, shape.num_blocks));
  ASSIGN_OR_RETURN(StatePool state, StatePool::Make(backend, shape.cache, shape.num_state_slots));
  ASSIGN_OR_RETURN(Bytes hidden, backend.Allocate(HiddenBytes(*loaded.model, shape)));
  ASSIGN_OR_RETURN(Bytes logits, backend.Allocate(LogitBytes(*loaded.model)));
  std::unique_ptr<HeadDrafter> drafter;
  if (loaded.draft_head != nullptr) {
    const int max_rows = std::min(shape.max_sequences, shape.max_tokens_per_step);
    ASSIGN_OR_RETURN(drafter, HeadDrafter::Make(*loaded.model, *loaded.draft_head, backend, max_rows));
  }
  return std::unique_ptr<ModelRunner>(
      new ModelRunner(loaded, backend, shape, {std::move(kv), std::move(state), std::move(hidden), std::move(logits)},
                      std::move(drafter)));
}

ModelRunner::ModelRunner(const LoadedModel& loaded, Backend& backend, const RunnerShape& shape, Pools pools,
                         std::unique_ptr<HeadDrafter> drafter)
    : model_(*loaded.model),
      draft_head_(loaded.draft_head.get()),
      backend_(backend),
      shape_(shape),
      pools_(std::move(pools)),
      sequence_memory_({shape.cache, shape.kv_dtype, shape.block_size, shape.state_grid, FormOf(backend)}, pools_.kv, pools_.state),
      builder_(draft_head_ != nullptr),
      head_drafter_(std::move(drafter)) {}

void ModelRunner::Draft(const StepPlan& plan, const SpecOf& spec_of, const ImageOf& image_of) {
  table_.Apply(plan);
  RestoreStates(plan, image_of);
  for (const SequenceStep& step : plan.steps) {
    std::vector<int32_t>& tokens = table_.row(step.row).tokens;
    tokens.insert(tokens.end(), step.drafts.begin(), step.drafts.end());
  }
  if (head_drafter_ != nullptr) head_drafter_->Draft(plan, HeadView(), spec_of, &table_);
}

void ModelRunner::Forward(const StepPlan& plan, const SpecOf& spec_of) {
  const auto wants_prompt_logits = [&](SequenceId id) {
    const SamplingSpec* spec = spec_of(id);
    return spec != nullptr && spec->prompt_logprobs >= 0;
  };
  builder_.Build(plan, shape_.state_grid, wants_prompt_logits, &table_);
  const RaggedBatch batch = builder_.batch();
  const auto hidden_of = [&](const RaggedBatch& rows) {
    return TensorView::Of(pools_.hidden.as<float>(), static_cast<int64_t>(rows.logit_rows.size()),
                          model_.info().hidden_size);
  };
  hidden_ = hidden_of(batch);
  backend_.RunBatch(batch, shape_.max_tokens_per_step, [&](Ops& op, const RaggedBatch& rows) {
    model_.Forward(op, rows, View(), hidden_of(rows));
    if (draft_head_ != nullptr) draft_head_->WriteRows(op, rows, HeadView(), hidden_of(rows));
  });
  SnapshotStates(plan);
}

// In the order of admission: a slot restored from may be given to one admitted later.
void ModelRunner::RestoreStates(const StepPlan& plan, const ImageOf& image_of) {
  for (const RowAdmission& admission : plan.admitted) {
    if (admission.loads) {
      SequenceRow& row = table_.row(admission.row);
      row.state_position = sequence_memory_.layout().GridPosition(admission.start);
      const std::shared_ptr<const SequenceImage> image = image_of(admission.id);
      CHECK(image != nullptr && image->computed == admission.start) << "sequence " << admission.id;
      sequence_memory_.Write(*image, row.blocks, admission.state_slot);
    }
    const int32_t from = admission.restored_slot;
    if (from >= 0 && from != admission.state_slot) pools_.state.Copy(from, admission.state_slot);
  }
}

void ModelRunner::SnapshotStates(const StepPlan& plan) {
  for (const StateSnapshot& snapshot : plan.snapshots) {
    const SequenceRow& row = table_.row(snapshot.row);
    CHECK_EQ(row.state_position % shape_.block_size, 0) << "sequence " << row.id;
    pools_.state.Copy(row.state_slot, snapshot.slot);
  }
}

std::vector<RowOutput> ModelRunner::Sample(const SpecOf& spec_of) {
  const std::vector<LogitRow>& rows = builder_.logit_rows();
  sample_rows_.assign(rows.size(), {});
  next_tokens_.assign(rows.size(), 0);
  top_counts_.assign(rows.size(), 0);
  sampled_.assign(rows.size(), {});
  hidden_rows_.clear();
  for (const LogitRow& row : rows) hidden_rows_.push_back(row.hidden_row);
  for (size_t i = 0; i < rows.size(); ++i) {
    const SamplingSpec* spec = spec_of(rows[i].id);
    if (spec == nullptr) continue;
    const SequenceRow& row = table_.row(rows[i].row);
    if (rows[i].samples) {
      sample_rows_[i] = SampleRowOf(rows[i], row, *spec);
    } else {
      top_counts_[i] = spec->prompt_logprobs;
      next_tokens_[i] = row.tokens[rows[i].position + 1];
    }
  }
  size_t begin = 0;
  do {  // once also where no logits are wanted: a step ends with a run
    const size_t end = RunEnd(begin);
    SampleRun(static_cast<int64_t>(begin), static_cast<int64_t>(end));
    begin = end;
  } while (begin < rows.size());
  ShareTokens(backend_.communicator(), sampled_);
  std::vector<RowOutput> outputs;
  outputs.reserve(rows.size());
  for (size_t i = 0; i < rows.size();) {
    if (rows[i].samples) {
      i = Accept(i, &outputs);
    } else {
      outputs.push_back({rows[i], std::move(sampled_[i])});
      ++i;
    }
  }
  return outputs;
}

// Takes the sampled rows of one sequence, of which `i` is the first. A draft that is the token drawn before it holds,
// and so does what is drawn behind it. Puts the drawn tokens in the place of the drafts; returns the row after.
size_t ModelRunner::Accept(size_t i, std::vector<RowOutput>* outputs) {
  const std::vector<LogitRow>& rows = builder_.logit_rows();
  std::vector<int32_t>& tokens = table_.row(rows[i].row).tokens;
  const size_t first = i;
  bool holds = true;
  for (; i < rows.size() && rows[i].samples && rows[i].row == rows[first].row; ++i) {
    if (i > first) holds = holds && tokens[rows[i].position] == outputs->back().sampled.token;
    if (holds) outputs->push_back({rows[i], std::move(sampled_[i])});
  }
  const LogitRow& last = outputs->back().where;
  tokens.resize(last.position + 1);
  if (outputs->back().sampled.token >= 0) tokens.push_back(outputs->back().sampled.token);
  return i;
}

// A run's results reach the host together: a row that wants the logprobs of the whole vocabulary has a run to itself, so
// that their memory stays bounded.
size_t ModelRunner::RunEnd(size_t begin) const {
  const auto is_wide = [](int32_t top) { return top > kMaxTopLogprobs; };
  if (begin == top_counts_.size() || is_wide(top_counts_[begin])) return std::min(begin + 1, top_counts_.size());
  return static_cast<size_t>(std::find_if(top_counts_.begin() + static_cast<ptrdiff_t>(begin), top_counts_.end(), is_wide) -
                             top_counts_.begin());
}

// Rows [begin, end) in one run of the backend.
void ModelRunner::SampleRun(int64_t begin, int64_t end) {
  backend_.Run([&](Ops& op) {
    for (int64_t first = begin; first < end; first += kLogitSlice) SampleSlice(op, first, std::min(first + kLogitSlice, end));
  });
}

// Logits of rows [begin, end), then each run of rows of one kind to its operation. The first rank alone has all of the
// logits.
void ModelRunner::SampleSlice(Ops& op, int64_t begin, int64_t end) {
  const std::vector<LogitRow>& rows = builder_.logit_rows();
  const auto logits_of = [&](int64_t first, int64_t count) {
    const int64_t vocab = model_.info().vocab_size;
    return TensorView::Of(pools_.logits.as<float>() + (first - begin) * vocab, count, vocab);
  };
  Scratch::Scope scope(op.scratch());
  const TensorView hidden = op.scratch().Matrix(end - begin, hidden_.cols);
  op.GatherRows(hidden_, std::span(hidden_rows_).subspan(begin, end - begin), hidden);
  model_.Logits(op, hidden, logits_of(begin, end - begin));
  if (op.place().rank != 0) return;
  for (int64_t first = begin, next; first < end; first = next) {
    next = first + 1;
    while (next < end && rows[next].samples == rows[first].samples) ++next;
    const int64_t count = next - first;
    const std::span sampled = std::span(sampled_).subspan(first, count);
    if (rows[first].samples) {
      op.Sample({logits_of(first, count), std::span(sample_rows_).subspan(first, count), sampled});
    } else {
      op.TokenLogprobs({logits_of(first, count), std::span(next_tokens_).subspan(first, count),
                        std::span(top_counts_).subspan(first, count), sampled});
    }
  }
}

}  // namespace braid
