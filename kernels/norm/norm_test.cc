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

TEST(RmsNorm, MayWriteOverItsInput) {
  const std::vector<float> weight(40, 1.0f);
  for (const auto& backend : testing::AllCpuBackends()) {
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
