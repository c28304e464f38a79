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
  };
  for (auto [tokens, width, groups] : {Case{0, 32, 1}, {1, 64, 1}, {3, 4096, 8}, {5, 60, 4}, {2, 7, 7}}) {
    SCOPED_TRACE(absl::StrCat(tokens, " x ", width, " in ", groups));
    const int64_t stride = width + 5;
    const std::vector<float> x = NoiseVector(1, tokens * width, 3), gate = NoiseVector(2, tokens * stride, 5);
    const std::vector<float> weight = NoiseVector(3, width);
    const auto work = [&](Backend& backend) {
      std::vector<float> in = x, gates = gate, y(tokens * width);
      RunWalk(backend, [&](Ops& op) {
        const TensorView gate_view = {gates.data(), DType::kF32, tokens, width, stride};
        op.GatedRmsNorm({TensorView::Of(in.data(), tokens, width), gate_view, weight.data(), groups, 1e-5f,
                         TensorView::Of(y.data(), tokens, width)});
      });
      return y;
    };
    ExpectBackendsAgree(work, [&](const auto& want) { return Tolerance(width / groups, MaxAbs(want)); });
  }
}

}  // namespace
}  // namespace braid
