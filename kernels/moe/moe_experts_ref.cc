#include <vector>

#include "kernels/linear/ref_packed_weight.h"
#include "kernels/ref_ops.h"

namespace braid::ref {
namespace {

std::vector<float> MatVec(const PackedWeight* packed, const float* x, const float* bias) {
  const RefPackedWeight& weight = RefPackedWeight::Of(packed);
  std::vector<float> y(weight.rows());
  for (int64_t row = 0; row < weight.rows(); ++row) {
    double sum = bias != nullptr ? bias[row] : 0;
    for (int64_t k = 0; k < weight.cols(); ++k) sum += double{weight.row(row)[k]} * x[k];
    y[row] = static_cast<float>(sum);
  }
  return y;
}

std::vector<float> Activated(Epilogue epilogue, const std::vector<float>& x) {
  const size_t inter = x.size() / (IsGated(epilogue) ? 2 : 1);
  std::vector<float> y(inter);
  for (size_t j = 0; j < inter; ++j) y[j] = Activate(epilogue, x[j], IsGated(epilogue) ? x[inter + j] : 0.0f);
  return y;
}

// Expert `e`'s vector of a matrix [experts, size], or none.
const float* BiasOf(const float* bias, int64_t e, int64_t size) { return bias != nullptr ? bias + e * size : nullptr; }

}  // namespace

void Experts(const ExpertsArgs& args) {
  for (int64_t t = 0; t < args.x.rows; ++t) {
    std::vector<float> sum(args.y.cols);
    for (int k = 0; k < args.top_k; ++k) {
      const int64_t choice = t * args.top_k + k;
      const int32_t expert = args.expert_ids[choice];
      const std::vector<float> inner = Activated(
          args.epilogue, MatVec(args.up[expert], args.x.row(t), BiasOf(args.up_bias, expert, args.up[0]->rows())));
      const std::vector<float> outer =
          MatVec(args.down[expert], inner.data(), BiasOf(args.down_bias, expert, args.y.cols));
      for (size_t j = 0; j < sum.size(); ++j) sum[j] += args.expert_weights[choice] * outer[j];
    }
    for (size_t j = 0; j < sum.size(); ++j) args.y.row(t)[j] = (args.add ? args.y.row(t)[j] : 0.0f) + sum[j];
  }
}

}  // namespace braid::ref
