// The product (gemm_cuda.h) with weights of F16.
#include "kernels/linear/gemm_cuda.cuh"

namespace braid::cuda {

void GemmF16(const GemmLaunch& launch) { LaunchGemm<F16Weights>(launch); }

}  // namespace braid::cuda
