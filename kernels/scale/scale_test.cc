#include "kernels/scale/scale.h"

#include "kernels/testing/backends_test.h"

namespace braid {
namespace {

using testing::NoiseVector;
using testing::RunWalk;

// A product of two floats has one value: all backends give its bits.
TEST(Scale, MultipliesEachColumnOfStridedRows) {
  struct Case {
    int64_t tokens, width;
  };
  for (auto [tokens, width] : {Case{0, 5}, {1, 1}, {1, 16}, {3, 33}, {7, 2688}}) {
    SCOPED_TRACE(absl::StrCat(tokens, " x ", width));
    const int64_t stride = width + 3;
    const std::vector<float> x = NoiseVector(1, tokens * stride, 3), factors = NoiseVector(2, width, 2);
    std::vector<float> want = x;
    for (int64_t i = 0; i < tokens * stride; ++i) {
      if (i % stride < width) want[i] = x[i] * factors[i % stride];
    }
    const auto scaled = [&](Backend& backend) {
      std::vector<float> y = x;
      const TensorView view = {y.data(), DType::kF32, tokens, width, stride};
      RunWalk(backend, [&](Ops& op) { op.Scale({.x = view, .factors = factors.data(), .y = view}); });
      return y;
    };
    EXPECT_EQ(scaled(*MakeRefBackend()), want);
    for (Backend* backend : testing::FastBackends()) {
      SCOPED_TRACE(backend->Name());
      EXPECT_EQ(scaled(*backend), want);
    }
  }
}

TEST(Scale, LeavesItsInputWhereTheResultIsElsewhere) {
  for (Backend* backend : testing::FastBackends()) {
    const std::vector<float> before = NoiseVector(3, 2 * 20), factors(20, 2.0f);
    std::vector<float> x = before, y(2 * 20);
    RunWalk(*backend, [&](Ops& op) {
      op.Scale({TensorView::Of(x.data(), 2, 20), factors.data(), TensorView::Of(y.data(), 2, 20)});
    });
    EXPECT_EQ(x, before);
    for (int i = 0; i < 40; ++i) EXPECT_EQ(y[i], 2 * x[i]);
  }
}

}  // namespace
}  // namespace braid
