#include "kernels/moe/moe.h"
#include "kernels/testing/backends_test.h"

namespace braid {
namespace {

using testing::NoiseVector;
using testing::RunWalk;

struct Shape {
  int64_t tokens, hidden;
  int experts, top_k, groups, top_groups;
  bool normalize;
  RouteScoring scoring = RouteScoring::kSigmoid;
};

// Weights, with each expert's number before its weight.
std::vector<float> Choose(Backend& backend, const Shape& shape, std::vector<float> x, const std::vector<float>& gate,
                          const std::vector<float>& bias) {
  std::vector<int32_t> ids(shape.tokens * shape.top_k, -1);
  std::vector<float> weights(ids.size()), out;
  const bool softmax = shape.scoring == RouteScoring::kSoftmax;
  RunWalk(backend, [&](Ops& op) {
    op.Route({.x = TensorView::Of(x.data(), shape.tokens, shape.hidden),
              .gate = gate.data(),
              .bias = softmax ? nullptr : bias.data(),
              .experts = shape.experts,
              .top_k = shape.top_k,
              .groups = shape.groups,
              .top_groups = shape.top_groups,
              .normalize = shape.normalize,
              .scale = 2.5f,
              .scoring = shape.scoring,
              .logit_bias = softmax ? bias.data() : nullptr,
              .expert_ids = ids.data(),
              .expert_weights = weights.data()});
  });
  for (size_t i = 0; i < ids.size(); ++i) {
    out.push_back(static_cast<float>(ids[i]));
    out.push_back(weights[i]);
  }
  return out;
}

TEST(Route, EveryBackendAgreesWithRef) {
  constexpr Shape kShapes[] = {{0, 16, 4, 2, 1, 1, true},   {1, 2688, 128, 6, 1, 1, true}, {9, 40, 17, 3, 1, 1, false},
                               {5, 33, 16, 4, 4, 2, true},  {7, 64, 8, 8, 8, 8, true},     {6, 1, 3, 1, 1, 1, true},
                               {5, 40, 17, 3, 1, 1, true, RouteScoring::kSoftmax},
                               {4, 64, 128, 8, 1, 1, false, RouteScoring::kSoftmax},
                               {3, 1056, 512, 22, 1, 1, true},
                               {2, 64, 256, 8, 8, 4, true}};
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(absl::StrCat(shape.tokens, " x ", shape.hidden, ", ", shape.experts, " experts"));
    const std::vector<float> x = NoiseVector(1, shape.tokens * shape.hidden);
    const std::vector<float> gate = NoiseVector(2, shape.experts * shape.hidden), bias = NoiseVector(3, shape.experts);
    testing::ExpectBackendsAgree([&](Backend& backend) { return Choose(backend, shape, x, gate, bias); },
                                 [&](const auto&) { return testing::Tolerance(shape.hidden, 10); });
  }
}

TEST(Route, EqualAndNotFiniteScoresStillPickTheLowestExperts) {
  Shape shape = {2, 16, 8, 3, 1, 1, true};
  std::vector<float> x(32, 0.0f);
  std::fill(x.begin() + 16, x.end(), NAN);
  const std::vector<float> gate(8 * 16, 1.0f), bias(8, 0.5f);
  const auto check = [&](Backend& backend) {
    const std::vector<float> got = Choose(backend, shape, x, gate, bias);
    for (int i = 0; i < 6; ++i) EXPECT_EQ(got[2 * i], i % 3);
    for (int i = 0; i < 3; ++i) EXPECT_NEAR(got[2 * i + 1], 2.5f / 3, 1e-6);
  };
  for (RouteScoring scoring : {RouteScoring::kSigmoid, RouteScoring::kSoftmax}) {
    shape.scoring = scoring;
    check(*MakeRefBackend());
    for (const auto& backend : testing::AllCpuBackends()) check(*backend);
  }
}

}  // namespace
}  // namespace braid
