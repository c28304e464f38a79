#include <algorithm>
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
float Gelu(float x) { return 0.5f * x * (1.0f + std::tanh(0.79788456f * (x + 0.044715f * x * x * x))); }

float ClampedGate(float gate, float up) {
  const float g = std::min(gate, 7.0f), u = std::clamp(up, -7.0f, 7.0f);
  return g / (1.0f + std::exp(-1.702f * g)) * (u + 1.0f);
}

}  // namespace

float Activate(Epilogue epilogue, float v, float up) {
  switch (epilogue) {
    case Epilogue::kStore:
    case Epilogue::kAdd: return v;
    case Epilogue::kRelu2: return Relu2(v);
    case Epilogue::kGelu: return Gelu(v);
    case Epilogue::kSiluGate: return Silu(v) * up;
    case Epilogue::kClampedGate: return ClampedGate(v, up);
  }
  return v;
}

void Linear(const LinearArgs& args) {
  const RefPackedWeight& weight = RefPackedWeight::Of(args.weight);
  const auto value = [&](int64_t token, int64_t row) {
    const float dot = Dot(args.x.row(token), weight.row(row), weight.cols());
    return args.bias != nullptr ? dot + args.bias[row] : dot;
  };
  for (int64_t t = 0; t < args.x.rows; ++t) {
    float* const y = args.y.row(t);
    for (int64_t j = 0; j < args.y.cols; ++j) {
      const float up = IsGated(args.epilogue) ? value(t, j + args.y.cols) : 0.0f;
      const float v = Activate(args.epilogue, value(t, j), up);
      y[j] = args.epilogue == Epilogue::kAdd ? y[j] + v : v;
    }
  }
}

}  // namespace braid::ref
