// The product (gemm_cuda.h) with weights of F32.
#include "kernels/linear/gemm_cuda.cuh"

namespace braid::cuda {

void GemmF32(const GemmLaunch& launch) { LaunchGemm<F32Weights>(launch); }

}  // namespace braid::cuda
