// The product (gemm_cuda.h) with weights in GGUF's blocks.
#include "kernels/linear/gemm_cuda.cuh"

namespace braid::cuda {

void GemmBlocks(const GemmLaunch& launch) { LaunchGemm<BlockWeights>(launch); }

}  // namespace braid::cuda
