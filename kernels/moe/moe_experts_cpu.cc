// Tokens grouped by expert, so that each touched expert's weights are read once a step: quantise, up with its
// epilogue, quantise, down, then each token gathers its experts' rows. The members divide every expert's output columns.
#include "kernels/cpu_ops.h"
#include "kernels/linear/gemm_cpu.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

// The choices (token, k) of a step in rising order of expert, then token. Choice c = token * top_k + k.
struct Grouping {
  int32_t* first;     // [experts + 1] places of an expert's choices
  int32_t* choice;    // [choices] by place
  int32_t* place;     // [choices] by choice
  int64_t rows_of(int64_t e) const { return first[e + 1] - first[e]; }
};

// Takes each member its own grouping: sooner counted than waited for.
Grouping TakeGrouping(const Share& share, Scratch& scratch, int64_t experts, int64_t choices) {
  const int64_t words = (experts + 1 + 2 * choices + 15) / 16 * 16;
  int32_t* const mine = scratch.Array<int32_t>(words * share.count) + words * share.index;
  return {mine, mine + experts + 1, mine + experts + 1 + choices};
}

void FillGrouping(const ExpertsArgs& args, int64_t choices, const Grouping& grouping) {
  const int64_t experts = static_cast<int64_t>(args.up.size());
  for (int64_t e = 0; e <= experts; ++e) grouping.first[e] = 0;
  for (int64_t c = 0; c < choices; ++c) ++grouping.first[args.expert_ids[c] + 1];
  for (int64_t e = 0; e < experts; ++e) grouping.first[e + 1] += grouping.first[e];
  // Each choice takes its expert's next place, which leaves first[e] at the expert's end: shifted back after.
  for (int64_t c = 0; c < choices; ++c) {
    const int32_t place = grouping.first[args.expert_ids[c]]++;
    grouping.choice[place] = static_cast<int32_t>(c);
    grouping.place[c] = place;
  }
  for (int64_t e = experts; e > 0; --e) grouping.first[e] = grouping.first[e - 1];
  grouping.first[0] = 0;
}

struct Formats {
  bool blocks = false, floats = false;
};
Formats FormatsOf(std::span<const PackedWeight* const> weights) {
  Formats formats;
  for (size_t e = 0; e < weights.size(); ++e) {
    formats.blocks |= CpuPackedWeight::Of(weights.data()[e]).has_blocks();
    formats.floats |= CpuPackedWeight::Of(weights.data()[e]).has_floats();
  }
  return formats;
}

// All experts' rows of one side of a product, by place.
struct GroupedRows {
  TensorView rows;          // [choices, cols]
  QuantizedBlock* blocks;   // [choices * BlocksOf(cols)]
  QuantizedBlock* blocks_of(int64_t place) const { return blocks + place * BlocksOf(rows.cols); }
};

TensorView RowsFrom(const TensorView& view, int64_t first, int64_t count) {
  return {view.row(first), view.dtype, count, view.cols, view.stride};
}

// Quantises this member's places; row(place) is where a place's floats lie.
template <class RowOf>
void QuantizePlaces(const Grouping& grouping, const Share& share, const GroupedRows& to,
                    const RowOf& row) {
  const Share::Range mine = share.Of(to.rows.rows);
  int64_t e = 0;
  for (int64_t place = mine.begin; place < mine.end; ++place) {
    while (grouping.first[e + 1] <= place) ++e;
    const int64_t first = grouping.first[e];
    QuantizeRow(row(place), to.rows.cols, place - first, grouping.rows_of(e), to.blocks_of(first));
  }
}

void CopyRow(const float* from, int64_t count, float* to) { memcpy(to, from, 4 * static_cast<size_t>(count)); }

void MultiplyGroups(const GroupedRows& in, std::span<const PackedWeight* const> weights, const Grouping& grouping,
                    Epilogue epilogue, const float* bias, const TensorView& out, const Share& share) {
  for (size_t e = 0; e < weights.size(); ++e) {
    const int64_t first = grouping.first[e], count = grouping.rows_of(static_cast<int64_t>(e));
    if (count == 0) continue;
    const CpuPackedWeight& weight = CpuPackedWeight::Of(weights.data()[e]);
    const float* const own_bias = bias != nullptr ? bias + static_cast<int64_t>(e) * weight.rows() : nullptr;
    Gemm({RowsFrom(in.rows, first, count), in.blocks_of(first)}, weight,
         {RowsFrom(out, first, count), epilogue, own_bias}, share);
  }
}

// y[t] (+)= sum over k, rising, of weight * outer[place of (t, k)]
void Combine(const ExpertsArgs& args, const Grouping& grouping, const TensorView& outer, int64_t t) {
  float* const y = args.y.row(t);
  for (int64_t column = 0; column < args.y.cols; column += kLanes) {
    const int lanes = static_cast<int>(args.y.cols - column < kLanes ? args.y.cols - column : kLanes);
    V16 sum = Zero();
    for (int64_t c = t * args.top_k; c < (t + 1) * args.top_k; ++c) {
      sum = Fma(Set1(args.expert_weights[c]), Load(outer.row(grouping.place[c]) + column, lanes), sum);
    }
    if (args.add) sum = Add(Load(y + column, lanes), sum);
    Store(y + column, sum, lanes);
  }
}

}  // namespace

void Experts(const ExpertsArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const int64_t experts = static_cast<int64_t>(args.up.size()), choices = args.x.rows * args.top_k;
  const int64_t width = args.x.cols, inter = experts > 0 ? args.down.data()[0]->cols() : 0;
  const Formats up = FormatsOf(args.up), down = FormatsOf(args.down);
  const Grouping grouping = TakeGrouping(share, scratch, experts, choices);
  const GroupedRows in = {up.floats ? scratch.Matrix(choices, width) : TensorView::Of(nullptr, choices, width),
                          scratch.Array<QuantizedBlock>(up.blocks ? choices * BlocksOf(width) : 0)};
  const GroupedRows inner = {scratch.Matrix(choices, inter),
                             scratch.Array<QuantizedBlock>(down.blocks ? choices * BlocksOf(inter) : 0)};
  const TensorView outer = scratch.Matrix(choices, width);
  if (scratch.measuring()) return;

  FillGrouping(args, choices, grouping);
  const auto x_row = [&](int64_t place) { return args.x.row(grouping.choice[place] / args.top_k); };
  if (up.blocks) QuantizePlaces(grouping, share, in, x_row);
  if (up.floats) {
    const Share::Range mine = share.Of(choices);
    for (int64_t place = mine.begin; place < mine.end; ++place) CopyRow(x_row(place), width, in.rows.row(place));
  }
  share.Sync();
  MultiplyGroups(in, args.up, grouping, args.epilogue, args.up_bias, inner.rows, share);
  share.Sync();
  if (down.blocks) {
    QuantizePlaces(grouping, share, inner, [&](int64_t place) { return inner.rows.row(place); });
    share.Sync();
  }
  MultiplyGroups(inner, args.down, grouping, Epilogue::kStore, args.down_bias, outer, share);
  share.Sync();
  const Share::Range tokens = share.Of(args.x.rows);
  for (int64_t t = tokens.begin; t < tokens.end; ++t) Combine(args, grouping, outer, t);
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
