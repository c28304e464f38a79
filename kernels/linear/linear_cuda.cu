// One product (gemm_cuda.h) for each set of the weight. A pair that could not be interleaved is multiplied into step
// memory and gated from there.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"
#include "kernels/linear/gemm_cuda.h"

namespace braid::cuda {
namespace {

constexpr int kThreads = 256;

// Grid: (columns, rows).
__global__ void __launch_bounds__(kThreads)
    GatherColumns(const float* x, int64_t x_stride, const int32_t* order, int cols, float* y) {
  const int k = blockIdx.x * kThreads + threadIdx.x;
  if (k < cols) y[static_cast<int64_t>(blockIdx.y) * cols + k] = x[blockIdx.y * x_stride + order[k]];
}

// The inputs in their weight's order.
TensorView Ordered(const TensorView& x, const CudaPackedWeight& weight, Step& step) {
  if (weight.order() == nullptr) return x;
  const TensorView y = step.scratch().Matrix(x.rows, x.cols);
  if (step.measuring() || x.rows == 0) return y;
  Launch(GatherColumns,
         {.grid = {static_cast<unsigned>(CeilDiv(x.cols, kThreads)), static_cast<unsigned>(x.rows)},
          .block = kThreads,
          .stream = step.stream()},
         x.f32(), x.stride, weight.order(), static_cast<int>(x.cols), y.f32());
  return y;
}

void MultiplySets(const LinearArgs& args, const TensorView& y, Epilogue epilogue, Step& step) {
  const CudaPackedWeight& weight = CudaPackedWeight::Of(args.weight);
  Scratch::Scope scope(step.scratch());
  const TensorView x = Ordered(args.x, weight, step);
  for (const CudaWeightSet& set : weight.sets()) {
    GemmArgs gemm{.set = set, .base = weight.base()};
    gemm.x = x.f32();
    gemm.x_stride = x.stride;
    gemm.rows = static_cast<int32_t>(args.x.rows);
    gemm.y = y.f32();
    gemm.y_stride = y.stride;
    gemm.epilogue = epilogue;
    gemm.bias = args.bias;
    Gemm(gemm, TileRows(args.x.rows, 1), step);
  }
}

}  // namespace

void Linear(const LinearArgs& args, Step& step) {
  const bool apart = IsGated(args.epilogue) && !CudaPackedWeight::Of(args.weight).sets()[0].pair;
  if (!apart) return MultiplySets(args, args.y, args.epilogue, step);
  Scratch::Scope scope(step.scratch());
  const TensorView both = step.scratch().Matrix(args.x.rows, args.weight->rows());
  MultiplySets(args, both, Epilogue::kStore, step);
  Gate(both.f32(), both.stride, args.y.rows, args.y.cols, args.epilogue, args.y.f32(), args.y.stride, step);
}

}  // namespace braid::cuda
