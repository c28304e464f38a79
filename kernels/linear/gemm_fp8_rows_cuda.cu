// The product (gemm_cuda.h) with weights of F8_E4M3 with one scale a row.
#include "kernels/linear/gemm_cuda.cuh"

namespace braid::cuda {

void GemmFp8Rows(const GemmLaunch& launch) { LaunchGemm<Fp8RowWeights>(launch); }

}  // namespace braid::cuda
