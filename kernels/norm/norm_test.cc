#include "kernels/norm/norm.h"

#include "kernels/testing/backends_test.h"

namespace braid {
namespace {

using testing::ExpectBackendsAgree;
using testing::MaxAbs;
using testing::NoiseVector;
using testing::RunWalk;
using testing::Tolerance;

struct Shape2 {
  int64_t tokens, hidden;
};
constexpr Shape2 kShapes[] = {{0, 16}, {1, 1}, {1, 2688}, {3, 17}, {7, 63}, {2, 64}, {5, 129}};

TEST(RmsNorm, EveryBackendAgreesWithRef) {
  for (auto [tokens, hidden] : kShapes) {
    SCOPED_TRACE(absl::StrCat(tokens, " x ", hidden));
    const std::vector<float> x = NoiseVector(1, tokens * hidden, 3), weight = NoiseVector(2, hidden);
    const auto work = [&](Backend& backend) {
      std::vector<float> in = x, y(tokens * hidden);
      RunWalk(backend, [&](Ops& op) {
        op.RmsNorm({TensorView::Of(in.data(), tokens, hidden), weight.data(), 1e-5f,
                    TensorView::Of(y.data(), tokens, hidden)});
      });
      return y;
    };
    ExpectBackendsAgree(work, [&](const auto& want) { return Tolerance(hidden, MaxAbs(want)); });
  }
}

TEST(RmsNorm, NormsEachGroupOfStridedRows) {
  constexpr int64_t kTokens = 3, kGroup = 20, kStride = 70;
  const std::vector<float> x = NoiseVector(1, kTokens * kStride, 3), weight = NoiseVector(2, kGroup);
  const auto work = [&](Backend& backend) {
    std::vector<float> in = x;
    RunWalk(backend, [&](Ops& op) {
      const TensorView view = {in.data(), DType::kF32, kTokens, 3 * kGroup, kStride};
      op.RmsNorm({.x = view, .weight = weight.data(), .eps = 1e-5f, .y = view, .groups = 3});
    });
    return in;
  };
  const std::vector<float> got = work(*MakeRefBackend());
  double squares = 0;
  for (int i = 0; i < kGroup; ++i) squares += double{x[kStride + kGroup + i]} * x[kStride + kGroup + i];
  const double scale = 1 / std::sqrt(squares / kGroup + 1e-5);
  EXPECT_NEAR(got[kStride + kGroup + 7], x[kStride + kGroup + 7] * scale * weight[7], 1e-5);
  EXPECT_EQ(got[kStride - 1], x[kStride - 1]);
  testing::ExpectBackendsAgree(work, [&](const auto& want) { return Tolerance(kGroup, MaxAbs(want)); });
}

TEST(LayerNorm, EveryBackendAgreesWithRef) {
  for (auto [tokens, hidden] : kShapes) {
    SCOPED_TRACE(absl::StrCat(tokens, " x ", hidden));
    std::vector<float> x = NoiseVector(1, tokens * hidden, 3);
    for (float& v : x) v += 2;
    const std::vector<float> weight = NoiseVector(2, hidden), bias = NoiseVector(3, hidden);
    const auto work = [&](Backend& backend) {
      std::vector<float> y = x;
      RunWalk(backend, [&](Ops& op) {
        const TensorView view = TensorView::Of(y.data(), tokens, hidden);
        op.LayerNorm({.x = view, .weight = weight.data(), .bias = bias.data(), .eps = 1e-5f, .y = view});
      });
      return y;
    };
    ExpectBackendsAgree(work, [&](const auto& want) { return 4 * Tolerance(hidden, MaxAbs(want)); });
  }
}

TEST(RmsNorm, MayWriteOverItsInput) {
  const std::vector<float> weight(40, 1.0f);
  for (Backend* backend : testing::FastBackends()) {
    std::vector<float> x = NoiseVector(3, 2 * 40), y(2 * 40);
    const TensorView in = TensorView::Of(x.data(), 2, 40);
    RunWalk(*backend, [&](Ops& op) { op.RmsNorm({in, weight.data(), 1e-6f, TensorView::Of(y.data(), 2, 40)}); });
    RunWalk(*backend, [&](Ops& op) { op.RmsNorm({in, weight.data(), 1e-6f, in}); });
    EXPECT_EQ(x, y);
  }
}

TEST(GatedRmsNorm, EveryBackendAgreesWithRef) {
  struct Case {
    int64_t tokens, width;
    int groups;
    GatePlace place;
  };
  constexpr GatePlace kBefore = GatePlace::kBeforeNorm, kBehind = GatePlace::kBehindNorm, kAlone = GatePlace::kWithoutNorm;
  for (auto [tokens, width, groups, place] :
       {Case{0, 32, 1, kBefore}, {1, 64, 1, kBefore}, {3, 4096, 8, kBefore}, {5, 60, 4, kBefore}, {2, 7, 7, kBefore},
        {0, 32, 1, kBehind}, {3, 60, 4, kBehind}, {2, 130, 1, kBehind}, {3, 60, 4, kAlone}, {2, 130, 1, kAlone}}) {
    SCOPED_TRACE(absl::StrCat(tokens, " x ", width, " in ", groups, " place ", static_cast<int>(place)));
    const int64_t stride = width + 5;
    const std::vector<float> x = NoiseVector(1, tokens * width, 3), gate = NoiseVector(2, tokens * stride, 5);
    const std::vector<float> weight = NoiseVector(3, width);
    const auto work = [&](Backend& backend) {
      std::vector<float> in = x, gates = gate, y(tokens * width);
      RunWalk(backend, [&](Ops& op) {
        const TensorView gate_view = {gates.data(), DType::kF32, tokens, width, stride};
        op.GatedRmsNorm({TensorView::Of(in.data(), tokens, width), gate_view, weight.data(), groups, 1e-5f,
                         TensorView::Of(y.data(), tokens, width), place});
      });
      return y;
    };
    ExpectBackendsAgree(work, [&](const auto& want) { return Tolerance(width / groups, MaxAbs(want)); });
  }
}

// x = (3, 4), eps 0: the norm divides by sqrt(12.5); silu(0) = 0, silu(50) = 50.
TEST(GatedRmsNorm, PutsTheGateWhereItIsTold) {
  const auto gated = [](GatePlace place) {
    std::vector<float> x = {3, 4}, gate = {50, 0}, weight = {2, 10}, y(2);
    RunWalk(*MakeRefBackend(), [&](Ops& op) {
      op.GatedRmsNorm({TensorView::Of(x.data(), 1, 2), TensorView::Of(gate.data(), 1, 2), weight.data(), 1, 0.0f,
                       TensorView::Of(y.data(), 1, 2), place});
    });
    return y;
  };
  EXPECT_NEAR(gated(GatePlace::kBeforeNorm)[0], 2 * std::sqrt(2.0), 1e-5);   // 150 / sqrt(150^2 / 2) * 2
  EXPECT_NEAR(gated(GatePlace::kBehindNorm)[0], 300 / std::sqrt(12.5), 1e-4);
  EXPECT_NEAR(gated(GatePlace::kWithoutNorm)[0], 300, 1e-4);
  EXPECT_EQ(gated(GatePlace::kBehindNorm)[1], 0);
}

}  // namespace
}  // namespace braid
