#include "kernels/ssm/ssm.h"

#include <limits>

#include "kernels/testing/state_walk.h"

namespace braid {
namespace {

using testing::Chunk;
using testing::ChunksOf;
using testing::Cuts;
using testing::Decode;
using testing::MaxAbs;
using testing::Noise;
using testing::NoiseVector;
using testing::Walker;

MambaStateLayout Layout(int heads, int head_dim, int state_size, int groups, int grid = 32, int max_drafts = 3) {
  return {.heads = heads, .head_dim = head_dim, .state_size = state_size, .groups = groups, .grid = grid,
          .max_drafts = max_drafts};
}

struct Parameters {
  std::vector<float> dt_bias, a, d;
  explicit Parameters(int heads) : dt_bias(NoiseVector(21, heads)), a(NoiseVector(22, heads)), d(NoiseVector(23, heads)) {
    for (float& x : a) x = -0.02f - std::abs(x);
  }
};

std::vector<float> Scan(Backend& backend, const MambaStateLayout& layout, const std::vector<Walker>& walkers) {
  const Parameters parameters(layout.heads);
  const int64_t columns = layout.conv_dim();
  return testing::WalkSequences(walkers, layout, columns + layout.heads, layout.d_inner(),
                                [&](const testing::WalkStep& step) {
    testing::RunWalk(backend, [&](Ops& op) {
      op.Ssm({.xbc = step.in.Columns(0, columns),
              .dt = step.in.Columns(columns, layout.heads),
              .dt_bias = parameters.dt_bias.data(),
              .a = parameters.a.data(),
              .d = parameters.d.data(),
              .dt_min = 0,
              .dt_max = std::numeric_limits<float>::infinity(),
              .batch = &step.batch,
              .layout = layout,
              .state = step.state,
              .y = step.out});
    });
  });
}

// S_t = exp(dt A) S_{t-1} + dt x (x) B, y = C . S + D x, one token after the other (arXiv:2405.21060, recurrent form).
std::vector<float> Recurrence(const MambaStateLayout& layout, uint64_t seed, int tokens) {
  const Parameters parameters(layout.heads);
  std::vector<float> y(tokens * layout.d_inner());
  for (int h = 0; h < layout.heads; ++h) {
    std::vector<double> state(layout.state_size * layout.head_dim);
    const int64_t b_column = layout.d_inner() + h / (layout.heads / layout.groups) * layout.state_size;
    for (int t = 0; t < tokens; ++t) {
      const double dt = std::log1p(std::exp(double{Noise(seed, t, layout.conv_dim() + h)} + parameters.dt_bias[h]));
      for (int p = 0; p < layout.head_dim; ++p) {
        const int64_t column = h * layout.head_dim + p;
        const double x = Noise(seed, t, column);
        double sum = parameters.d[h] * x;
        for (int n = 0; n < layout.state_size; ++n) {
          double& s = state[n * layout.head_dim + p];
          s = std::exp(dt * parameters.a[h]) * s + dt * x * Noise(seed, t, b_column + n);
          sum += s * Noise(seed, t, b_column + layout.d_bc() + n);
        }
        y[t * layout.d_inner() + column] = static_cast<float>(sum);
      }
    }
  }
  return y;
}

const MambaStateLayout kLayouts[] = {Layout(4, 16, 16, 1), Layout(6, 64, 32, 2), Layout(8, 80, 20, 8),
                                     Layout(1, 8, 128, 1), Layout(3, 72, 256, 3, 16, 5)};

std::string Describe(const MambaStateLayout& layout) {
  return absl::StrCat(layout.heads, " heads x ", layout.head_dim, ", state ", layout.state_size, ", groups ", layout.groups);
}

TEST(Ssm, EveryBackendIsTheRecurrence) {
  for (const MambaStateLayout& layout : kLayouts) {
    SCOPED_TRACE(Describe(layout));
    const std::vector<float> want = Recurrence(layout, 1, 70);
    const float tolerance = static_cast<float>(1e-5 * MaxAbs(want));
    testing::ExpectNear(Scan(*MakeRefBackend(), layout, {{1, {Chunk(70)}}}), want, tolerance);
    for (const auto& backend : testing::AllCpuBackends()) {
      testing::ExpectNear(Scan(*backend, layout, {{1, {Chunk(70)}}}), want, tolerance);
    }
  }
}

TEST(Ssm, EveryBackendAgreesWithRef) {
  const std::vector<Walker> walkers = {
      {1, ChunksOf(71, 7)},
      {2, {Chunk(1), Chunk(30), Decode(3, 0), Decode(3, 3), Decode(2, 1), Decode(0, 0), Chunk(0)}},
      {3, {Chunk(100), Decode(0, 0), Decode(3, 2), Decode(3, 3), Chunk(40), Decode(0, 0)}}};
  for (const MambaStateLayout& layout : kLayouts) {
    SCOPED_TRACE(Describe(layout));
    testing::ExpectBackendsAgree(
        [&](Backend& backend) { return Scan(backend, layout, walkers); },
        [&](const auto& want) { return testing::Tolerance(layout.state_size + 4 * layout.grid, MaxAbs(want)); });
  }
}

TEST(Ssm, BitsDependNeitherOnCutsNorOnCompany) {
  for (const MambaStateLayout& layout : {kLayouts[0], kLayouts[2], kLayouts[4]}) {
    for (const auto& backend : testing::AllCpuBackends()) {
      SCOPED_TRACE(absl::StrCat(Describe(layout), ", ", backend->Name()));
      const std::vector<float> whole = Scan(*backend, layout, {{1, {Chunk(75)}}});
      // Crosses the grid line at 32 with drafts that are refused, partly and wholly accepted; then a long chunk.
      const Cuts drafts = {Chunk(31), Decode(3, 0), Decode(3, 0), Decode(3, 3), Decode(2, 1), Chunk(35), Decode(0, 0)};
      const Cuts late = {Chunk(30), Decode(3, 2), Decode(3, 3), Chunk(38)};
      const Cuts two = {Chunk(31), Chunk(2), Chunk(31), Chunk(11)};
      for (const Cuts& cuts : {ChunksOf(75, 1), ChunksOf(75, 7), ChunksOf(75, 32), two, drafts, late}) {
        const std::vector<float> pieces = Scan(*backend, layout, {{1, cuts}, {9, ChunksOf(50, 3)}});
        EXPECT_TRUE(testing::SameBits({pieces.begin(), pieces.begin() + whole.size()}, whole)) << cuts.size() << " cuts";
      }
    }
  }
}

}  // namespace
}  // namespace braid
