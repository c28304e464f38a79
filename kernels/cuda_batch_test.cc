#include "kernels/cuda_batch.h"

#include <gtest/gtest.h>

namespace braid::cuda {
namespace {

// `count` decodes of `tokens` rows each, at rising positions.
struct Decodes {
  std::vector<int32_t> ids, positions, rows;
  std::vector<SequenceSpan> spans;
  std::vector<int32_t> table = {3, 1, 4, 1, 5};

  Decodes(int count, int tokens) {
    for (int s = 0; s < count; ++s) {
      spans.push_back({.first_row = s * tokens, .num_tokens = tokens, .start = 10 * s, .num_committed = 1});
      spans.back().blocks = table.data();
      spans.back().num_blocks = 5;
      for (int t = 0; t < tokens; ++t) {
        rows.push_back(static_cast<int32_t>(ids.size()));
        ids.push_back(100 + s);
        positions.push_back(10 * s + t);
      }
    }
  }
  RaggedBatch batch() const { return {ids, positions, spans, rows}; }
};

TEST(DecodeShape, IsOfEqualSequencesWhoseLogitsAreAllWanted) {
  const Decodes three(3, 2);
  const DecodeShape shape = DecodeShapeOf(three.batch());
  EXPECT_EQ(shape.sequences, 3);
  EXPECT_EQ(shape.tokens_each, 2);
  EXPECT_EQ(shape.max_context, 22);
  RaggedBatch some = three.batch();
  some.logit_rows = some.logit_rows.first(5);
  EXPECT_EQ(DecodeShapeOf(some).tokens_each, 0);
  Decodes unequal(3, 2);
  unequal.spans[1].num_tokens = 1;
  EXPECT_EQ(DecodeShapeOf(unequal.batch()).tokens_each, 0);
  EXPECT_EQ(DecodeShapeOf(RaggedBatch{}).tokens_each, 0);
}

TEST(LadderShape, RoundsUpWithinTheRowsThereAre) {
  const auto sequences = [](int count, int tokens, int64_t max_rows) {
    return LadderShape({count, tokens, 1}, max_rows).sequences;
  };
  const std::pair<int, int> steps[] = {{1, 1}, {2, 2}, {3, 4}, {5, 8}, {9, 12}, {13, 16}, {17, 24}, {25, 32}, {33, 48}, {65, 96}};
  for (auto [count, padded] : steps) EXPECT_EQ(sequences(count, 1, 1000), padded) << count;
  EXPECT_EQ(sequences(5, 4, 32), 8);
  EXPECT_EQ(sequences(5, 4, 31), 5);
  EXPECT_EQ(LadderShape({1, 1, 256}, 10).max_context, 256);
  EXPECT_EQ(LadderShape({1, 1, 257}, 10).max_context, 512);
}

TEST(PaddedBatch, PutsEmptySequencesBehind) {
  const Decodes three(3, 2);
  PaddedBatch padded;
  const RaggedBatch& batch = padded.Pad(three.batch(), {4, 2, 256});
  EXPECT_EQ(batch.num_tokens(), 8);
  EXPECT_EQ(batch.logit_rows.size(), 8u);
  EXPECT_EQ(batch.ids[5], 102);
  EXPECT_EQ(batch.ids[6], 0);
  EXPECT_FALSE(batch.sequences[2].padding);
  EXPECT_TRUE(batch.sequences[3].padding);
  EXPECT_EQ(batch.sequences[3].first_row, 6);
}

TEST(PlaceBatch, EqualCountsLandAtEqualAddresses) {
  if (!device::FindDevice().ok()) GTEST_SKIP() << device::FindDevice();
  device::Stream stream;
  Inbound inbound;
  const Decodes a(3, 1);
  Decodes b(3, 1);
  b.ids[1] = 7;
  DeviceBatch placed[2];
  std::vector<int32_t> ids(3), owners(3);
  std::vector<SequenceSpan> spans(3);
  for (int run = 0; run < 4; ++run) {
    inbound.Begin();
    const RaggedBatch batch = run % 2 == 0 ? a.batch() : b.batch();
    placed[run % 2] = PlaceBatch(batch, CountsOf(batch), inbound, stream);
    inbound.End(stream);
    stream.Wait();
    device::Download(placed[run % 2].ids, ids.data(), 12);
    EXPECT_EQ(ids[1], run % 2 == 0 ? 101 : 7);
  }
  EXPECT_EQ(placed[0].ids, placed[1].ids);
  EXPECT_EQ(placed[0].sequences, placed[1].sequences);
  device::Download(placed[1].token_sequence, owners.data(), 12);
  EXPECT_EQ(owners, (std::vector<int32_t>{0, 1, 2}));
  device::Download(placed[1].sequences, spans.data(), sizeof(SequenceSpan) * 3);
  std::vector<int32_t> table(5);
  device::Download(spans[2].blocks, table.data(), 20);
  EXPECT_EQ(table, b.table);
}

}  // namespace
}  // namespace braid::cuda
