#include <cmath>

#include "kernels/linear/ref_packed_weight.h"
#include "kernels/ref_ops.h"

namespace braid::ref {
namespace {

float Dot(const float* x, const float* w, int64_t count) {
  double sum = 0;
  for (int64_t k = 0; k < count; ++k) sum += double{x[k]} * w[k];
  return static_cast<float>(sum);
}

float Silu(float x) { return x / (1.0f + std::exp(-x)); }
float Relu2(float x) { return x > 0 ? x * x : 0.0f; }

}  // namespace

void Linear(const LinearArgs& args) {
  const RefPackedWeight& weight = RefPackedWeight::Of(args.weight);
  const auto value = [&](int64_t token, int64_t row) {
    const float dot = Dot(args.x.row(token), weight.row(row), weight.cols());
    return args.bias != nullptr ? dot + args.bias[row] : dot;
  };
  for (int64_t t = 0; t < args.x.rows; ++t) {
    float* const y = args.y.row(t);
    for (int64_t j = 0; j < args.y.cols; ++j) {
      switch (args.epilogue) {
        case Epilogue::kStore: y[j] = value(t, j); break;
        case Epilogue::kAdd: y[j] += value(t, j); break;
        case Epilogue::kRelu2: y[j] = Relu2(value(t, j)); break;
        case Epilogue::kSiluGate: y[j] = Silu(value(t, j)) * value(t, j + args.y.cols); break;
      }
    }
  }
}

}  // namespace braid::ref
