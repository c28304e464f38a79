#include <vector>

#include "kernels/linear/ref_packed_weight.h"
#include "kernels/ref_ops.h"

namespace braid::ref {
namespace {

std::vector<float> MatVec(const PackedWeight* packed, const float* x) {
  const RefPackedWeight& weight = RefPackedWeight::Of(packed);
  std::vector<float> y(weight.rows());
  for (int64_t row = 0; row < weight.rows(); ++row) {
    double sum = 0;
    for (int64_t k = 0; k < weight.cols(); ++k) sum += double{weight.row(row)[k]} * x[k];
    y[row] = static_cast<float>(sum);
  }
  return y;
}

void Relu2(std::vector<float>& x) {
  for (float& v : x) v = v > 0 ? v * v : 0.0f;
}

}  // namespace

void Experts(const ExpertsArgs& args) {
  for (int64_t t = 0; t < args.x.rows; ++t) {
    std::vector<float> sum(args.y.cols);
    for (int k = 0; k < args.top_k; ++k) {
      const int64_t choice = t * args.top_k + k;
      const int32_t expert = args.expert_ids[choice];
      std::vector<float> inner = MatVec(args.up[expert], args.x.row(t));
      Relu2(inner);
      const std::vector<float> outer = MatVec(args.down[expert], inner.data());
      for (size_t j = 0; j < sum.size(); ++j) sum[j] += args.expert_weights[choice] * outer[j];
    }
    for (size_t j = 0; j < sum.size(); ++j) args.y.row(t)[j] = (args.add ? args.y.row(t)[j] : 0.0f) + sum[j];
  }
}

}  // namespace braid::ref
