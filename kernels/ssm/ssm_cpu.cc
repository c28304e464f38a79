// Three phases with a barrier between them:
//   1. dt of every token and head, C_t . B_s of every token, group and row of its segment   (split by tokens)
//   2. outputs and folds; rows before the step come from the ring, later ones from xbc       (split by heads)
//   3. the rows that a later step needs go into the ring                                     (split by tokens)
// so that ring rows are read before they are overwritten, and each is written by one member.
// Phase 2 has head_dim as lanes. A head's state passes through once for up to four tokens and once a fold; both are
// small matrix products whose elements each add up in the order that ssm.h states. Decode is bound by the state's bytes.
#include "kernels/ssm/ssm.h"

#include "kernels/base/team.h"
#include "kernels/scratch.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

// Rows and vectors of a register block.
constexpr int kRows = BRAID_ISA_LEVEL >= 2 ? 4 : 2;
constexpr int kWidth = BRAID_ISA_LEVEL >= 2 ? 4 : 2;

BRAID_WORD int64_t Round16(int64_t n) { return (n + 15) / 16 * 16; }

// What all members see of one step.
struct Step {
  const SsmArgs* args;
  float* dt;        // [tokens, heads] after softplus and clamp
  float* products;  // [tokens, groups, grid padded to 16] C_t . B_s
  int64_t grid_padded;
  const float* Products(int64_t row, int group) const {
    return products + (row * args->layout.groups + group) * grid_padded;
  }
};

// One member's memory for one head and segment.
struct Buffers {
  float* x;         // [grid, head_dim_padded]
  float* dt;        // [grid padded]
  float* sums;      // [grid padded] cs
  float* decays;    // [grid padded] e^cs
  float* factors;   // [kRows, grid padded]
  float* aside;     // [state_size, head_dim_padded] a state past the committed tokens
  const float** b;  // [grid] rows of B
};

float* RingRow(const SsmArgs& args, const SequenceSpan& span, int position) {
  const MambaStateLayout& layout = args.layout;
  return args.state.slot(span.state_slot) + layout.ring_offset() +
         position % layout.ring_rows() * layout.ring_row_words();
}

// x | B of a position, from the ring or from this step.
const float* InputRow(const SsmArgs& args, const SequenceSpan& span, int position) {
  if (position < span.start) return RingRow(args, span, position);
  return args.xbc.row(span.first_row + position - span.start);
}

int64_t CountTokens(const RaggedBatch& batch) {
  int64_t tokens = 0;
  for (size_t i = 0; i < batch.sequences.size(); ++i) tokens += batch.sequences.data()[i].num_tokens;
  return tokens;
}

// Calls visit(span, t) for this member's share of all tokens.
template <class Visit>
void ForOwnTokens(const RaggedBatch& batch, const Share& share, const Visit& visit) {
  const Share::Range range = share.Of(CountTokens(batch));
  int64_t at = 0;
  for (size_t i = 0; i < batch.sequences.size(); ++i) {
    const SequenceSpan& span = batch.sequences.data()[i];
    for (int t = 0; t < span.num_tokens; ++t, ++at) {
      if (at >= range.begin && at < range.end) visit(span, t);
    }
  }
}

// ---- phase 1

void ComputeDt(const Step& step, int64_t row) {
  const SsmArgs& args = *step.args;
  const float* const raw = args.dt.row(row);
  float* const dt = step.dt + row * args.layout.heads;
  for (int h = 0; h < args.layout.heads; h += kLanes) {
    const int lanes = args.layout.heads - h < kLanes ? args.layout.heads - h : kLanes;
    const V16 softplus = Softplus(Load(raw + h, lanes) + Load(args.dt_bias + h, lanes));
    Store(dt + h, Min(Max(softplus, Set1(args.dt_min)), Set1(args.dt_max)), lanes);
  }
}

// products[i] = c . b[i] for kCount rows of B.
template <int kCount>
BRAID_WORD void Dots(const float* c, const float* const* b, int n, float* products) {
  V16 sums[kCount];
  for (int i = 0; i < kCount; ++i) sums[i] = Zero();
  int k = 0;
  for (; k + kLanes <= n; k += kLanes) {
    const V16 v = Load(c + k);
    for (int i = 0; i < kCount; ++i) sums[i] = Fma(v, Load(b[i] + k), sums[i]);
  }
  if (k < n) {
    const V16 v = Load(c + k, n - k);
    for (int i = 0; i < kCount; ++i) sums[i] = Fma(v, Load(b[i] + k, n - k), sums[i]);
  }
  for (int i = 0; i < kCount; ++i) products[i] = Sum(sums[i]);
}

void ComputeProducts(const Step& step, const SequenceSpan& span, int t) {
  const SsmArgs& args = *step.args;
  const MambaStateLayout& layout = args.layout;
  const int position = span.start + t, line = position / layout.grid * layout.grid, n = layout.state_size;
  const int64_t row = span.first_row + t;
  for (int g = 0; g < layout.groups; ++g) {
    const int64_t b_column = layout.d_inner() + int64_t{g} * n;
    const float* const c = args.xbc.row(row) + b_column + layout.d_bc();
    float* const products = step.products + (row * layout.groups + g) * step.grid_padded;
    int s = line;
    for (; s + 4 <= position + 1; s += 4) {
      const float* b[4];
      for (int i = 0; i < 4; ++i) b[i] = InputRow(args, span, s + i) + b_column;
      Dots<4>(c, b, n, products + (s - line));
    }
    for (; s <= position; ++s) {
      const float* const b = InputRow(args, span, s) + b_column;
      Dots<1>(c, &b, n, products + (s - line));
    }
  }
}

// ---- phase 2

// One head of one sequence within a segment of rows [line, stop), which lies between two grid lines.
struct Segment {
  const Step* step;
  const SequenceSpan* span;
  int head, group;
  int line, stop;
  const float* state;  // at `line`: [state_size, head_dim_padded]; null for zero
  const MambaStateLayout& layout() const { return step->args->layout; }
  int64_t row(int position) const { return span->first_row + position - span->start; }
};

// Collects x, B and dt of the segment's rows, and the running sums of dt * A with their exponentials.
void LoadSegment(const Segment& segment, const Buffers& buffers) {
  const SsmArgs& args = *segment.step->args;
  const MambaStateLayout& layout = args.layout;
  const int64_t padded = layout.head_dim_padded(), b_column = layout.d_inner() + int64_t{segment.group} * layout.state_size;
  const float a = args.a[segment.head];
  float sum = 0;
  for (int s = segment.line; s < segment.stop; ++s) {
    const float* const row = InputRow(args, *segment.span, s);
    const int i = s - segment.line;
    for (int p = 0; p < layout.head_dim; p += kLanes) {
      const int lanes = layout.head_dim - p < kLanes ? layout.head_dim - p : kLanes;
      Store(buffers.x + i * padded + p, Load(row + int64_t{segment.head} * layout.head_dim + p, lanes));
    }
    buffers.b[i] = row + b_column;
    buffers.dt[i] = s < segment.span->start ? row[layout.d_inner() + layout.d_bc() + segment.head]
                                            : segment.step->dt[segment.row(s) * layout.heads + segment.head];
    sum = sum + buffers.dt[i] * a;
    buffers.sums[i] = sum;
  }
  for (int i = 0; i < segment.stop - segment.line; i += kLanes) {
    Store(buffers.decays + i, Exp(Load(buffers.sums + i)));
  }
}

// factors[s] = (C_t . B_s) exp(cs_t - cs_s) dt_s for s in [line, t]; lanes past t hold anything.
void ComputeFactors(const Segment& segment, const Buffers& buffers, int t, float* factors) {
  const float* const products = segment.step->Products(segment.row(t), segment.group);
  const int count = t - segment.line + 1;
  const V16 sum = Set1(buffers.sums[t - segment.line]);
  for (int i = 0; i < count; i += kLanes) {
    const V16 decay = Exp(sum - Load(buffers.sums + i));
    Store(factors + i, Load(products + i) * decay * Load(buffers.dt + i));
  }
}

// Outputs of kTokens tokens from t on, in kVectors * 16 columns from p on.
template <int kTokens, int kVectors>
BRAID_WORD void OutputColumns(const Segment& segment, const Buffers& buffers, int t, int p) {
  const SsmArgs& args = *segment.step->args;
  const MambaStateLayout& layout = args.layout;
  const int64_t padded = layout.head_dim_padded(), xbc_stride = args.xbc.stride;
  const int first = t - segment.line;  // of the tokens' rows in the segment
  V16 sums[kTokens][kVectors];
  for (int i = 0; i < kTokens; ++i) {
    for (int j = 0; j < kVectors; ++j) sums[i][j] = Zero();
  }
  if (segment.state != nullptr) {
    const float* const c = args.xbc.row(segment.row(t)) + layout.d_inner() + layout.d_bc() +
                           int64_t{segment.group} * layout.state_size;
    const float* state = segment.state + p;
    for (int n = 0; n < layout.state_size; ++n, state += padded) {
      V16 s[kVectors];
      for (int j = 0; j < kVectors; ++j) s[j] = Load(state + j * kLanes);
      for (int i = 0; i < kTokens; ++i) {
        const V16 factor = Set1(c[i * xbc_stride + n]);
        for (int j = 0; j < kVectors; ++j) sums[i][j] = Fma(factor, s[j], sums[i][j]);
      }
    }
    for (int i = 0; i < kTokens; ++i) {
      for (int j = 0; j < kVectors; ++j) sums[i][j] = sums[i][j] * Set1(buffers.decays[first + i]);
    }
  }
  const int64_t grid = segment.step->grid_padded;
  const float* x = buffers.x + p;
  for (int s = 0; s <= first; ++s, x += padded) {
    V16 v[kVectors];
    for (int j = 0; j < kVectors; ++j) v[j] = Load(x + j * kLanes);
    for (int i = 0; i < kTokens; ++i) {
      const V16 factor = Set1(buffers.factors[i * grid + s]);
      for (int j = 0; j < kVectors; ++j) sums[i][j] = Fma(factor, v[j], sums[i][j]);
    }
  }
  const V16 d = Set1(args.d[segment.head]);
  for (int i = 0; i < kTokens; ++i) {
    // Rows between the first of the tokens and this one.
    for (int s = first + 1; s <= first + i; ++s) {
      const V16 factor = Set1(buffers.factors[i * grid + s]);
      for (int j = 0; j < kVectors; ++j) {
        sums[i][j] = Fma(factor, Load(buffers.x + s * padded + p + j * kLanes), sums[i][j]);
      }
    }
    float* const y = args.y.row(segment.row(t + i)) + int64_t{segment.head} * layout.head_dim;
    for (int j = 0; j < kVectors; ++j) {
      const int column = p + j * kLanes, left = layout.head_dim - column;
      const V16 own = Load(buffers.x + (first + i) * padded + column);
      Store(y + column, Fma(d, own, sums[i][j]), left < kLanes ? left : kLanes);
    }
  }
}

template <int kTokens>
void OutputTokens(const Segment& segment, const Buffers& buffers, int t) {
  for (int i = 0; i < kTokens; ++i) {
    ComputeFactors(segment, buffers, t + i, buffers.factors + i * segment.step->grid_padded);
  }
  const int padded = static_cast<int>(segment.layout().head_dim_padded());
  int p = 0;
  for (; p + kWidth * kLanes <= padded; p += kWidth * kLanes) OutputColumns<kTokens, kWidth>(segment, buffers, t, p);
  for (; p < padded; p += kLanes) OutputColumns<kTokens, 1>(segment, buffers, t, p);
}

void ComputeOutputs(const Segment& segment, const Buffers& buffers) {
  int t = segment.line > segment.span->start ? segment.line : segment.span->start;
  for (; t + kRows <= segment.stop; t += kRows) OutputTokens<kRows>(segment, buffers, t);
  for (; t < segment.stop; ++t) OutputTokens<1>(segment, buffers, t);
}

// kCount state rows from n on of the state at `stop`, in kVectors * 16 columns from p on. `target` may be the state.
template <int kCount, int kVectors>
BRAID_WORD void FoldColumns(const Segment& segment, const Buffers& buffers, int n, int p, float* target) {
  const int64_t padded = segment.layout().head_dim_padded();
  const int count = segment.stop - segment.line;
  const V16 decay = Set1(buffers.decays[count - 1]);
  V16 sums[kCount][kVectors];
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < kVectors; ++j) {
      const int64_t at = (n + i) * padded + p + j * kLanes;
      sums[i][j] = segment.state == nullptr ? Zero() : Load(segment.state + at) * decay;
    }
  }
  const float* x = buffers.x + p;
  for (int s = 0; s < count; ++s, x += padded) {
    const float* const b = buffers.b[s] + n;
    V16 v[kVectors];
    for (int j = 0; j < kVectors; ++j) v[j] = Load(x + j * kLanes);
    for (int i = 0; i < kCount; ++i) {
      const V16 factor = Set1(b[i]);
      for (int j = 0; j < kVectors; ++j) sums[i][j] = Fma(factor, v[j], sums[i][j]);
    }
  }
  for (int i = 0; i < kCount; ++i) {
    for (int j = 0; j < kVectors; ++j) Store(target + (n + i) * padded + p + j * kLanes, sums[i][j]);
  }
}

template <int kCount>
void FoldRows(const Segment& segment, const Buffers& buffers, int n, float* target) {
  const int padded = static_cast<int>(segment.layout().head_dim_padded());
  int p = 0;
  for (; p + kWidth * kLanes <= padded; p += kWidth * kLanes) {
    FoldColumns<kCount, kWidth>(segment, buffers, n, p, target);
  }
  for (; p < padded; p += kLanes) FoldColumns<kCount, 1>(segment, buffers, n, p, target);
}

// Folds the whole segment into `target`; its rows x become exp(cs - cs_s) dt_s x_s.
void Fold(const Segment& segment, const Buffers& buffers, float* target) {
  const int64_t padded = segment.layout().head_dim_padded();
  const int count = segment.stop - segment.line;
  const V16 last = Set1(buffers.sums[count - 1]);
  for (int i = 0; i < count; i += kLanes) {
    Store(buffers.factors + i, Exp(last - Load(buffers.sums + i)) * Load(buffers.dt + i));
  }
  for (int s = 0; s < count; ++s) {
    float* const x = buffers.x + s * padded;
    for (int64_t p = 0; p < padded; p += kLanes) Store(x + p, Set1(buffers.factors[s]) * Load(x + p));
  }
  int n = 0;
  for (; n + kRows <= segment.layout().state_size; n += kRows) FoldRows<kRows>(segment, buffers, n, target);
  for (; n < segment.layout().state_size; ++n) FoldRows<1>(segment, buffers, n, target);
}

void WalkHead(const Step& step, const SequenceSpan& span, int head, const Buffers& buffers) {
  const MambaStateLayout& layout = step.args->layout;
  float* const stored = step.args->state.slot(span.state_slot) + layout.state_offset() +
                        int64_t{head} * layout.state_size * layout.head_dim_padded();
  const int end = span.start + span.num_tokens, committed = span.start + span.num_committed;
  Segment segment = {&step, &span, head, head / (layout.heads / layout.groups), 0, 0,
                     span.state_position == 0 ? nullptr : stored};
  for (int line = span.state_position; line < end; line += layout.grid) {
    segment.line = line;
    segment.stop = end - line < layout.grid ? end : line + layout.grid;
    LoadSegment(segment, buffers);
    ComputeOutputs(segment, buffers);
    const bool whole = segment.stop - line == layout.grid;
    if (!whole || (segment.stop == end && end > committed)) return;
    float* const target = segment.stop <= committed ? stored : buffers.aside;
    Fold(segment, buffers, target);
    segment.state = target;
  }
}

void WalkHeads(const Step& step, const Share& share, const Buffers& buffers) {
  const RaggedBatch& batch = *step.args->batch;
  const int heads = step.args->layout.heads;
  // A head's state costs about as much as four tokens.
  const Share::Range range = share.Of((CountTokens(batch) + 4 * static_cast<int64_t>(batch.sequences.size())) * heads);
  int64_t at = 0;
  for (size_t i = 0; i < batch.sequences.size(); ++i) {
    const SequenceSpan& span = batch.sequences.data()[i];
    for (int h = 0; h < heads; ++h, at += span.num_tokens + 4) {
      if (at >= range.begin && at < range.end) WalkHead(step, span, h, buffers);
    }
  }
}

// ---- phase 3

void WriteRing(const Step& step, const SequenceSpan& span, int t) {
  const SsmArgs& args = *step.args;
  const MambaStateLayout& layout = args.layout;
  if (span.start + t < StatePositionAfter(span, layout.grid)) return;
  float* const ring = RingRow(args, span, span.start + t);
  const int64_t words = layout.d_inner() + layout.d_bc(), row = span.first_row + t;
  memcpy(ring, args.xbc.row(row), sizeof(float) * static_cast<size_t>(words));
  memcpy(ring + words, step.dt + row * layout.heads, sizeof(float) * static_cast<size_t>(layout.heads));
}

}  // namespace

void Ssm(const SsmArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const MambaStateLayout& layout = args.layout;
  const int64_t grid = layout.grid, grid_padded = Round16(grid), padded = layout.head_dim_padded();
  Step step = {&args, nullptr, nullptr, grid_padded};
  step.dt = scratch.Array<float>(args.xbc.rows * layout.heads);
  step.products = scratch.Array<float>(args.xbc.rows * layout.groups * grid_padded);
  const int64_t words = grid * padded + (3 + kRows) * grid_padded + layout.state_size * padded + 2 * grid_padded;
  float* const memory = scratch.Array<float>(words * share.count);
  if (scratch.measuring()) return;

  Buffers buffers;
  buffers.x = memory + words * share.index;
  buffers.dt = buffers.x + grid * padded;
  buffers.sums = buffers.dt + grid_padded;
  buffers.decays = buffers.sums + grid_padded;
  buffers.factors = buffers.decays + grid_padded;
  buffers.aside = buffers.factors + kRows * grid_padded;
  buffers.b = reinterpret_cast<const float**>(buffers.aside + layout.state_size * padded);

  ForOwnTokens(*args.batch, share, [&](const SequenceSpan& span, int t) {
    ComputeDt(step, span.first_row + t);
    ComputeProducts(step, span, t);
  });
  share.Sync();
  WalkHeads(step, share, buffers);
  share.Sync();
  ForOwnTokens(*args.batch, share, [&](const SequenceSpan& span, int t) { WriteRing(step, span, t); });
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
