// Attention with heads of up to 128 dimensions.
#include "kernels/attention/attention_cuda.cuh"

namespace braid::cuda {

void Attend128(const AttentionLaunch& launch) { LaunchAttention<128>(launch); }

}  // namespace braid::cuda
