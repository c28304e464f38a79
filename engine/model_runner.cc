#include "engine/model_runner.h"

#include <algorithm>

namespace braid {
namespace {

constexpr int64_t kLogitSlice = 64;  // rows of logits in memory at once

// A batch that touches every path: `sequences` equal parts of `tokens` rows, far into their contexts.
struct FakeBatch {
  std::vector<int32_t> ids, positions, blocks, logit_rows;
  std::vector<SequenceSpan> spans;

  FakeBatch(int tokens, int sequences) : ids(tokens), positions(tokens), blocks(1) {
    for (int s = 0; s < sequences; ++s) {
      const int first = tokens * s / sequences, end = tokens * (s + 1) / sequences;
      spans.push_back({.first_row = first, .num_tokens = end - first, .num_committed = end - first, .state_slot = 0});
      spans.back().blocks = blocks.data();
      logit_rows.push_back(end - 1);
    }
  }
  RaggedBatch batch() const { return {ids, positions, spans, logit_rows}; }
};

CacheView ViewOf(const KvPool& kv, const StatePool& state, const RunnerShape& shape) {
  return {kv.layers(), state.layers(), shape.cache.mamba};
}

std::string FormOf(const Backend& backend) { return backend.Name().starts_with("cuda") ? "cuda" : "host"; }

}  // namespace

size_t ModelRunner::ScratchBytes(const Model& model, Backend& backend, const RunnerShape& shape) {
  const KvPool kv(shape.cache, shape.kv_dtype, shape.block_size, 1);
  const StatePool state(shape.cache, 1);
  size_t bytes = 0;
  // Both extremes together bound every mixture; the range is reserved, pages come when touched.
  for (int sequences : {1, std::min(shape.max_sequences, shape.max_tokens_per_step)}) {
    const FakeBatch fake(shape.max_tokens_per_step, sequences);
    bytes += backend.MeasureScratch([&](Ops& op) {
      Scratch::Scope scope(op.scratch());
      const TensorView hidden = op.scratch().Matrix(sequences, model.info().hidden_size);
      model.Forward(op, fake.batch(), ViewOf(kv, state, shape), hidden);
      model.Logits(op, op.scratch().Matrix(kLogitSlice, model.info().hidden_size),
                   op.scratch().Matrix(kLogitSlice, model.info().vocab_size));
    });
  }
  return bytes;
}

ModelRunner::ModelRunner(const Model& model, Backend& backend, const RunnerShape& shape)
    : model_(model),
      backend_(backend),
      shape_(shape),
      kv_(shape.cache, shape.kv_dtype, shape.block_size, shape.num_blocks),
      state_(shape.cache, shape.num_state_slots),
      sequence_memory_({shape.cache, shape.kv_dtype, shape.block_size, shape.state_grid, FormOf(backend)}, kv_, state_),
      hidden_memory_(sizeof(float) * shape.max_tokens_per_step * model.info().hidden_size),
      logits_memory_(sizeof(float) * kLogitSlice * model.info().vocab_size) {
  backend_.ReserveScratch(ScratchBytes(model, backend, shape));
}

void ModelRunner::Forward(const StepPlan& plan, const SpecOf& spec_of, const ImageOf& image_of) {
  table_.Apply(plan);
  RestoreStates(plan, image_of);
  const auto wants_prompt_logits = [&](SequenceId id) {
    const SamplingSpec* spec = spec_of(id);
    return spec != nullptr && spec->prompt_logprobs;
  };
  builder_.Build(plan, shape_.state_grid, wants_prompt_logits, &table_);
  const RaggedBatch batch = builder_.batch();
  hidden_ = TensorView::Of(hidden_memory_.as<float>(), static_cast<int64_t>(batch.logit_rows.size()),
                           model_.info().hidden_size);
  backend_.Run([&](Ops& op) { model_.Forward(op, batch, ViewOf(kv_, state_, shape_), hidden_); });
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
    if (from >= 0 && from != admission.state_slot) state_.Copy(from, admission.state_slot);
  }
}

void ModelRunner::SnapshotStates(const StepPlan& plan) {
  for (const StateSnapshot& snapshot : plan.snapshots) {
    const SequenceRow& row = table_.row(snapshot.row);
    CHECK_EQ(row.state_position % shape_.block_size, 0) << "sequence " << row.id;
    state_.Copy(row.state_slot, snapshot.slot);
  }
}

std::vector<RowOutput> ModelRunner::Sample(const SpecOf& spec_of) {
  const std::vector<LogitRow>& rows = builder_.logit_rows();
  sample_rows_.assign(rows.size(), {});
  next_tokens_.assign(rows.size(), 0);
  top_counts_.assign(rows.size(), 0);
  sampled_.assign(rows.size(), {});
  for (size_t i = 0; i < rows.size(); ++i) {
    const SamplingSpec* spec = spec_of(rows[i].id);
    if (spec == nullptr) continue;
    const SequenceRow& row = table_.row(rows[i].row);
    top_counts_[i] = spec->params.logprobs;
    if (rows[i].samples) {
      sample_rows_[i] = SampleRowOf(rows[i], row, *spec);
    } else {
      next_tokens_[i] = row.tokens[rows[i].position + 1];
    }
  }
  const int64_t count = static_cast<int64_t>(rows.size());
  backend_.Run([&](Ops& op) {
    for (int64_t begin = 0; begin < count; begin += kLogitSlice) {
      SampleSlice(op, begin, std::min(begin + kLogitSlice, count));
    }
  });
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

// Logits of rows [begin, end), then each run of rows of one kind to its operation.
void ModelRunner::SampleSlice(Ops& op, int64_t begin, int64_t end) {
  const std::vector<LogitRow>& rows = builder_.logit_rows();
  const auto logits_of = [&](int64_t first, int64_t count) {
    const int64_t vocab = model_.info().vocab_size;
    return TensorView::Of(logits_memory_.as<float>() + (first - begin) * vocab, count, vocab);
  };
  model_.Logits(op, TensorView::Of(hidden_.row(begin), end - begin, hidden_.cols), logits_of(begin, end - begin));
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
