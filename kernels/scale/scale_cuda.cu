// A thread multiplies one number; bound by memory.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"

namespace braid::cuda {
namespace {

constexpr int kThreads = 256;

// Grid: (rows, parts of a row).
__global__ void __launch_bounds__(kThreads)
    ScaleKernel(const float* x, int64_t x_stride, const float* factors, float* y, int64_t y_stride, int width) {
  const int j = blockIdx.y * kThreads + threadIdx.x;
  if (j < width) y[blockIdx.x * y_stride + j] = x[blockIdx.x * x_stride + j] * factors[j];
}

}  // namespace

void Scale(const ScaleArgs& args, Step& step) {
  if (step.measuring() || args.x.rows == 0 || args.x.cols == 0) return;
  Launch(ScaleKernel,
         {.grid = {static_cast<unsigned>(args.x.rows), static_cast<unsigned>(CeilDiv(args.x.cols, kThreads))},
          .block = kThreads,
          .stream = step.stream()},
         args.x.f32(), args.x.stride, args.factors, args.y.f32(), args.y.stride, static_cast<int>(args.x.cols));
}

}  // namespace braid::cuda
