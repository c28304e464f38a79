// Rows are copied as they lie; bound by memory: each row is read and written once.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"

namespace braid::cuda {
namespace {

constexpr int kThreads = 128;

// One block a row.
__global__ void GatherRowsKernel(const float* x, int64_t x_stride, const int32_t* rows, float* y, int64_t y_stride,
                                 int cols) {
  const float* const from = x + rows[blockIdx.x] * x_stride;
  float* const to = y + blockIdx.x * y_stride;
  for (int i = threadIdx.x; i < cols; i += kThreads) to[i] = from[i];
}

}  // namespace

void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y, Step& step) {
  if (step.measuring() || rows.empty()) return;
  Launch(GatherRowsKernel, {.grid = static_cast<unsigned>(rows.size()), .block = kThreads, .stream = step.stream()}, x.f32(),
         x.stride, step.Place(rows), y.f32(), y.stride, static_cast<int>(x.cols));
}

}  // namespace braid::cuda
