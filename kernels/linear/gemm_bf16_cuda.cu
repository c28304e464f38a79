// The product (gemm_cuda.h) with weights of BF16.
#include "kernels/linear/gemm_cuda.cuh"

namespace braid::cuda {

void GemmBf16(const GemmLaunch& launch) { LaunchGemm<Bf16Weights>(launch); }

}  // namespace braid::cuda
