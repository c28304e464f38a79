// Walks sequences through an operation that carries state, cut into steps in any way, drafts included.
#pragma once

#include <limits>

#include "kernels/ragged_batch.h"
#include "kernels/ssm/state_layout.h"
#include "kernels/testing/backends_test.h"

namespace braid::testing {

// One step of one sequence: of `tokens` the first `committed` are final, and of the drafts behind them `accepted` hold.
struct Cut {
  int tokens;
  int committed;
  int accepted;
};
using Cuts = std::vector<Cut>;
inline Cut Chunk(int tokens) { return {tokens, tokens, 0}; }
inline Cut Decode(int drafts, int accepted) { return {1 + drafts, 1, accepted}; }

// Cuts `total` tokens into chunks of `size`.
inline Cuts ChunksOf(int total, int size) {
  Cuts cuts;
  for (int at = 0; at < total; at += size) cuts.push_back(Chunk(std::min(size, total - at)));
  return cuts;
}

// A sequence: `seed` decides its inputs.
struct Walker {
  uint64_t seed;
  Cuts cuts;
};

// What one step runs on. Rows of `in` and `out` are the batch's tokens.
struct WalkStep {
  RaggedBatch batch;
  StateLayer state;
  TensorView in;
  TensorView out;
};

// Steps all walkers together until the last has no cut left; returns the outputs of each walker's true tokens, one
// walker behind the other. Slots begin as NaN; rejected drafts have inputs of their own.
inline std::vector<float> WalkSequences(const std::vector<Walker>& walkers, const MambaStateLayout& layout,
                                        int64_t in_columns, int64_t out_columns,
                                        const std::function<void(const WalkStep&)>& run) {
  std::vector<float> slots(walkers.size() * layout.words(), std::numeric_limits<float>::quiet_NaN());
  std::vector<std::vector<float>> results(walkers.size());
  std::vector<int32_t> starts(walkers.size()), state_positions(walkers.size());
  for (size_t step = 0;; ++step) {
    std::vector<SequenceSpan> spans;
    std::vector<size_t> who;
    std::vector<int32_t> ids;
    std::vector<float> in;
    for (size_t w = 0; w < walkers.size(); ++w) {
      if (step >= walkers[w].cuts.size()) continue;
      const Cut& cut = walkers[w].cuts[step];
      SequenceSpan span;
      span.first_row = static_cast<int32_t>(ids.size());
      span.num_tokens = cut.tokens;
      span.start = starts[w];
      span.num_committed = cut.committed;
      span.state_slot = static_cast<int32_t>(walkers.size() - 1 - w);
      span.state_position = state_positions[w];
      for (int t = 0; t < cut.tokens; ++t) {
        const bool holds = t < cut.committed + cut.accepted;
        for (int64_t c = 0; c < in_columns; ++c) {
          in.push_back(Noise(walkers[w].seed + (holds ? 0 : 1000 + step), static_cast<uint64_t>(span.start + t), c));
        }
        ids.push_back(0);
      }
      spans.push_back(span);
      who.push_back(w);
    }
    if (spans.empty()) break;
    const int64_t tokens = static_cast<int64_t>(ids.size());
    std::vector<float> out(tokens * out_columns);
    WalkStep args;
    args.batch.ids = ids;
    args.batch.sequences = spans;
    args.state = {slots.data(), layout.words()};
    args.in = TensorView::Of(in.data(), tokens, in_columns);
    args.out = TensorView::Of(out.data(), tokens, out_columns);
    run(args);
    for (size_t i = 0; i < spans.size(); ++i) {
      const size_t w = who[i];
      const Cut& cut = walkers[w].cuts[step];
      const float* const rows = args.out.row(spans[i].first_row);
      results[w].insert(results[w].end(), rows, rows + (cut.committed + cut.accepted) * out_columns);
      starts[w] += cut.committed + cut.accepted;
      state_positions[w] = StatePositionAfter(spans[i], layout.grid);
    }
  }
  std::vector<float> all;
  for (const std::vector<float>& result : results) all.insert(all.end(), result.begin(), result.end());
  return all;
}

}  // namespace braid::testing
