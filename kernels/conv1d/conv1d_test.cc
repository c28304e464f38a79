#include "kernels/conv1d/conv1d.h"

#include "kernels/testing/state_walk.h"

namespace braid {
namespace {

using testing::Chunk;
using testing::ChunksOf;
using testing::Cuts;
using testing::Decode;
using testing::NoiseVector;
using testing::Walker;

MambaStateLayout Layout(int channels, int taps) {
  return {.heads = 1, .head_dim = channels - 2, .state_size = 1, .groups = 1, .conv_kernel = taps, .max_drafts = 3};
}

std::vector<float> Convolve(Backend& backend, const MambaStateLayout& layout, const std::vector<Walker>& walkers,
                            bool with_bias = true, bool silu = true) {
  const int64_t channels = layout.conv_dim();
  const std::vector<float> weight = NoiseVector(11, channels * layout.conv_kernel), bias = NoiseVector(12, channels);
  return testing::WalkSequences(walkers, layout, channels + 3, channels, [&](const testing::WalkStep& step) {
    testing::RunWalk(backend, [&](Ops& op) {
      op.Conv1d({.x = step.in.Columns(0, channels),
                 .weight = weight.data(),
                 .bias = with_bias ? bias.data() : nullptr,
                 .batch = &step.batch,
                 .layout = layout,
                 .state = step.state,
                 .y = step.out,
                 .silu = silu});
    });
  });
}

TEST(Conv1d, EveryBackendAgreesWithRef) {
  const std::vector<Walker> walkers = {{1, ChunksOf(40, 7)},
                                       {2, {Chunk(1), Chunk(1), Decode(3, 0), Decode(3, 3), Decode(2, 1), Chunk(0)}},
                                       {3, {Chunk(33), Decode(0, 0), Decode(3, 2), Decode(0, 0)}}};
  for (auto [channels, taps] : {std::pair(5, 4), {64, 4}, {150, 3}, {16, 1}, {200, 6}}) {
    SCOPED_TRACE(absl::StrCat(channels, " channels, ", taps, " taps"));
    for (bool bias : {true, false}) {
      testing::ExpectBackendsAgree(
          [&, taps = taps, channels = channels](Backend& backend) {
            return Convolve(backend, Layout(channels, taps), walkers, bias, bias);  // without bias: without SiLU
          },
          [taps = taps](const auto&) { return testing::Tolerance(taps, 4); });
    }
  }
}

TEST(Conv1d, BitsDoNotDependOnCuts) {
  const MambaStateLayout layout = Layout(70, 4);
  for (Backend* backend : testing::FastBackends()) {
    const std::vector<float> whole = Convolve(*backend, layout, {{1, {Chunk(40)}}});
    const Cuts drafts = {Chunk(31), Chunk(2), Decode(3, 0), Decode(3, 2), Decode(3, 1), Decode(0, 0)};
    for (const Cuts& cuts : {ChunksOf(40, 1), ChunksOf(40, 2), ChunksOf(40, 7), drafts}) {
      EXPECT_TRUE(testing::SameBits(Convolve(*backend, layout, {{1, cuts}}), whole));
    }
  }
}

// Taps (1, 0) hand each row to the next position, and the ring across steps, where there is no state beside.
TEST(Conv1d, TapsOneZeroGiveTheRowBefore) {
  const MambaStateLayout layout = {.heads = 1, .head_dim = 70, .conv_kernel = 2, .max_drafts = 3};
  EXPECT_EQ(layout.words(), layout.conv_rows() * layout.conv_row_words());
  std::vector<float> taps;
  for (int c = 0; c < 70; ++c) taps.insert(taps.end(), {1.0f, 0.0f});
  const std::vector<Walker> walkers = {{5, {Chunk(9), Decode(3, 1), Decode(3, 3), Decode(0, 0), Chunk(1)}}};
  for (const auto& backend : testing::AllCpuBackends()) {
    const std::vector<float> shifted = testing::WalkSequences(walkers, layout, 70, 70, [&](const testing::WalkStep& step) {
      testing::RunWalk(*backend, [&](Ops& op) {
        op.Conv1d({.x = step.in, .weight = taps.data(), .bias = nullptr, .batch = &step.batch, .layout = layout,
                   .state = step.state, .y = step.out, .silu = false});
      });
    });
    ASSERT_EQ(shifted.size(), 17u * 70);
    for (int t = 0; t < 17; ++t) {
      for (int c = 0; c < 70; ++c) EXPECT_EQ(shifted[t * 70 + c], t == 0 ? 0 : testing::Noise(5, t - 1, c)) << t;
    }
  }
}

}  // namespace
}  // namespace braid
