// The product (gemm_cuda.h) with weights of NVFP4 and MXFP4.
#include "kernels/linear/gemm_cuda.cuh"

namespace braid::cuda {

void GemmFp4(const GemmLaunch& launch) { LaunchGemm<Fp4Weights>(launch); }

}  // namespace braid::cuda
