// The product (gemm_cuda.h) with weights of F8_E4M3 with scales that change along a row.
#include "kernels/linear/gemm_cuda.cuh"

namespace braid::cuda {

void GemmFp8Blocks(const GemmLaunch& launch) { LaunchGemm<Fp8BlockWeights>(launch); }

}  // namespace braid::cuda
