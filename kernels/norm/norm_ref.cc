#include "kernels/norm/norm.h"

#include <cmath>

namespace braid::ref {
namespace {

// Scales `n` values to unit root mean square, times weight.
void Normalize(const float* x, const float* weight, int64_t n, float eps, float* y) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += double{x[i]} * x[i];
  const double scale = 1 / std::sqrt(sum / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i] * scale * weight[i]);
}

double Silu(double x) { return x / (1 + std::exp(-x)); }

}  // namespace

void RmsNorm(const RmsNormArgs& args) {
  const int64_t size = args.x.cols / args.groups;
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t at = 0; at < args.x.cols; at += size) {
      Normalize(args.x.row(t) + at, args.weight, size, args.eps, args.y.row(t) + at);
    }
  }
}

void LayerNorm(const LayerNormArgs& args) {
  const int64_t n = args.x.cols;
  for (int64_t t = 0; t < args.x.rows; ++t) {
    const float* const x = args.x.row(t);
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    const double mean = sum / static_cast<double>(n);
    for (int64_t i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(n) + args.eps);
    for (int64_t i = 0; i < n; ++i) {
      args.y.row(t)[i] = static_cast<float>((x[i] - mean) * scale * args.weight[i] + args.bias[i]);
    }
  }
}

void GatedRmsNorm(const GatedRmsNormArgs& args) {
  const int64_t size = args.x.cols / args.groups;
  for (int64_t t = 0; t < args.x.rows; ++t) {
    float* const y = args.y.row(t);
    const auto gated = [&](const float* x, int64_t i) { return static_cast<float>(x[i] * Silu(args.gate.row(t)[i])); };
    for (int64_t i = 0; i < args.x.cols; ++i) {
      y[i] = args.place == GatePlace::kBehindNorm ? args.x.row(t)[i] : gated(args.x.row(t), i);
    }
    if (args.place == GatePlace::kWithoutNorm) {
      for (int64_t i = 0; i < args.x.cols; ++i) y[i] *= args.weight[i];
      continue;
    }
    for (int g = 0; g < args.groups; ++g) {
      Normalize(y + g * size, args.weight + g * size, size, args.eps, y + g * size);
    }
    if (args.place != GatePlace::kBehindNorm) continue;
    for (int64_t i = 0; i < args.x.cols; ++i) y[i] = gated(y, i);
  }
}

}  // namespace braid::ref
