// One product (gemm_cuda.h) for each set of the weight. A pair that could not be interleaved is multiplied into step
// memory and gated from there.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"
#include "kernels/linear/gemm_cuda.h"

namespace braid::cuda {
namespace {

void MultiplySets(const LinearArgs& args, const TensorView& y, Epilogue epilogue, Step& step) {
  const CudaPackedWeight& weight = CudaPackedWeight::Of(args.weight);
  for (const CudaWeightSet& set : weight.sets()) {
    GemmArgs gemm{.set = set, .base = weight.base()};
    gemm.x = args.x.f32();
    gemm.x_stride = args.x.stride;
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
