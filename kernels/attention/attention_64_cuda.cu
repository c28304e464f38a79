// Attention with heads of up to 64 dimensions.
#include "kernels/attention/attention_cuda.cuh"

namespace braid::cuda {

void Attend64(const AttentionLaunch& launch) { LaunchAttention<64>(launch); }

}  // namespace braid::cuda
