#include "kernels/checks.h"

#include "kernels/base/errors.h"
#include "kernels/packed_weight.h"

namespace braid {
namespace {

void CheckMatrix(const TensorView& view, const char* name) {
  CHECK(view.dtype == DType::kF32) << name << " is " << DTypeName(view.dtype);
  CHECK(view.rows >= 0 && view.cols >= 0 && view.stride >= view.cols)
      << name << " [" << view.rows << ", " << view.cols << "] stride " << view.stride;
}

void CheckMatrix(const TensorView& view, const char* name, int64_t rows, int64_t cols) {
  CheckMatrix(view, name);
  CHECK(view.rows == rows && view.cols == cols)
      << name << " [" << view.rows << ", " << view.cols << "], want [" << rows << ", " << cols << "]";
}

// Spans cover the rows without gap, and each knows how much of it is final.
void CheckBatch(const RaggedBatch& batch) {
  int64_t next = 0;
  for (const SequenceSpan& span : batch.sequences) {
    CHECK_EQ(span.first_row, next);
    CHECK(span.num_committed >= 0 && span.num_committed <= span.num_tokens) << span.num_committed;
    next += span.num_tokens;
  }
  CHECK_EQ(next, batch.num_tokens());
}

void CheckStates(const RaggedBatch& batch, const MambaStateLayout& layout) {
  for (const SequenceSpan& span : batch.sequences) {
    if (span.padding) continue;
    CHECK_GE(span.state_slot, 0);
    CHECK(span.state_position % layout.grid == 0 && span.state_position <= span.start)
        << "state at " << span.state_position << ", chunk at " << span.start;
    // What lies between the state and the chunk must still be in the ring.
    CHECK(layout.state_size == 0 || span.start - span.state_position <= layout.ring_rows())
        << "state at " << span.state_position << ", chunk at " << span.start;
  }
}

}  // namespace

void Check(const LinearArgs& args) {
  CheckMatrix(args.x, "x");
  CheckMatrix(args.y, "y");
  const bool gated = IsGated(args.epilogue);
  CHECK_EQ(args.x.rows, args.y.rows);
  CHECK_EQ(args.x.cols, args.weight->cols());
  CHECK_EQ(args.y.cols * (gated ? 2 : 1), args.weight->rows());
}

void Check(const EmbeddingArgs& args) {
  CheckMatrix(args.y, "y");
  CHECK_EQ(args.y.rows, static_cast<int64_t>(args.ids.size()));
  CHECK_EQ(args.y.cols, args.table->cols());
  CHECK(args.table->input_order().empty());
  if (args.first_id >= 0) return;
  for (int32_t id : args.ids) CHECK(id >= 0 && id < args.table->rows()) << "id " << id << " of " << args.table->rows();
}

void Check(const RmsNormArgs& args) {
  CheckMatrix(args.x, "x", args.y.rows, args.y.cols);
  CheckMatrix(args.y, "y");
  CHECK(args.groups > 0 && args.y.cols % args.groups == 0) << args.groups << " groups of " << args.y.cols;
}

void Check(const LayerNormArgs& args) {
  CheckMatrix(args.x, "x", args.y.rows, args.y.cols);
  CheckMatrix(args.y, "y");
  CHECK(args.weight != nullptr && args.bias != nullptr);
}

void Check(const GatedRmsNormArgs& args) {
  CheckMatrix(args.x, "x", args.y.rows, args.y.cols);
  CheckMatrix(args.gate, "gate", args.y.rows, args.y.cols);
  CheckMatrix(args.y, "y");
  CHECK(args.groups > 0 && args.y.cols % args.groups == 0) << args.groups << " groups of " << args.y.cols;
}

void Check(const ScaleArgs& args) {
  CheckMatrix(args.x, "x", args.y.rows, args.y.cols);
  CheckMatrix(args.y, "y");
  CHECK(args.factors != nullptr);
}

void Check(const RopeKvWriteArgs& args) {
  const int64_t tokens = args.batch->num_tokens(), kv_size = int64_t{args.cache.kv_heads} * args.cache.head_dim;
  CheckMatrix(args.k, "k", tokens, kv_size);
  CheckMatrix(args.v, "v", tokens, kv_size);
  CheckMatrix(args.q, "q", tokens, args.q.cols);
  CHECK_EQ(args.q.cols % args.cache.head_dim, 0);
  CHECK_LE(2 * args.inverse_frequencies.size(), static_cast<size_t>(args.cache.head_dim));
  CheckBatch(*args.batch);
}

void Check(const AttentionArgs& args) {
  const int64_t tokens = args.batch->num_tokens(), q_size = int64_t{args.heads} * args.cache.head_dim;
  CheckMatrix(args.q, "q", tokens, q_size);
  CheckMatrix(args.out, "out", tokens, q_size);
  CHECK_EQ(args.heads % args.cache.kv_heads, 0);
  CHECK_EQ(args.cache.block_size % 16, 0);
  CHECK_GE(args.window, 0);
  CHECK_GE(args.first, 0);
  CheckBatch(*args.batch);
}

void Check(const Conv1dArgs& args) {
  const int64_t tokens = args.batch->num_tokens();
  CheckMatrix(args.x, "x", tokens, args.layout.conv_dim());
  CheckMatrix(args.y, "y", tokens, args.layout.conv_dim());
  CheckBatch(*args.batch);
  CheckStates(*args.batch, args.layout);
}

void Check(const SsmArgs& args) {
  const int64_t tokens = args.batch->num_tokens();
  CheckMatrix(args.xbc, "xbc", tokens, args.layout.conv_dim());
  CheckMatrix(args.dt, "dt", tokens, args.layout.heads);
  CheckMatrix(args.y, "y", tokens, args.layout.d_inner());
  CHECK_EQ(args.layout.heads % args.layout.groups, 0);
  CheckBatch(*args.batch);
  CheckStates(*args.batch, args.layout);
}

void Check(const RouteArgs& args) {
  CheckMatrix(args.x, "x");
  CHECK(args.top_k > 0 && args.top_k <= args.experts) << args.top_k << " of " << args.experts;
  CHECK(args.groups > 0 && args.experts % args.groups == 0) << args.groups << " groups of " << args.experts;
  CHECK(args.top_groups > 0 && args.top_groups <= args.groups) << args.top_groups << " of " << args.groups;
  CHECK_LE(args.top_k, args.experts / args.groups * args.top_groups);
  CHECK(args.scoring == RouteScoring::kSigmoid || args.bias == nullptr);
}

void Check(const SampleArgs& args) {
  CheckMatrix(args.logits, "logits");
  CHECK_EQ(args.rows.size(), static_cast<size_t>(args.logits.rows));
  CHECK_EQ(args.sampled.size(), args.rows.size());
}

void Check(const TokenLogprobsArgs& args) {
  CheckMatrix(args.logits, "logits");
  CHECK_EQ(args.tokens.size(), static_cast<size_t>(args.logits.rows));
  for (int32_t token : args.tokens) CHECK(token >= 0 && token < args.logits.cols) << token;
  CHECK_EQ(args.top.size(), args.tokens.size());
  CHECK_EQ(args.sampled.size(), args.tokens.size());
}

void Check(const ExpertsArgs& args) {
  CheckMatrix(args.x, "x");
  CheckMatrix(args.y, "y");
  CHECK(args.top_k > 0) << args.top_k;
  CHECK_EQ(args.up.size(), args.down.size());
  CHECK_EQ(args.x.rows, args.y.rows);
  CHECK_EQ(args.x.cols, args.y.cols);
  CHECK(args.epilogue != Epilogue::kAdd);
  const int64_t inter = args.up.empty() ? 0 : args.up[0]->rows() / (IsGated(args.epilogue) ? 2 : 1);
  for (size_t e = 0; e < args.up.size(); ++e) {
    CHECK_EQ(args.up[e]->cols(), args.x.cols);
    CHECK_EQ(args.up[e]->rows(), args.up[0]->rows());
    CHECK_EQ(args.down[e]->cols(), inter);
    CHECK_EQ(args.down[e]->rows(), args.y.cols);
    CHECK(args.up[e]->input_order().empty() && args.down[e]->input_order().empty()) << "expert " << e;
  }
}

void CheckGatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) {
  CheckMatrix(x, "x");
  CheckMatrix(y, "y");
  CHECK_EQ(static_cast<int64_t>(rows.size()), y.rows);
  CHECK_EQ(x.cols, y.cols);
}

}  // namespace braid
