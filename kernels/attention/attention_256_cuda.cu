// Attention with heads of up to 256 dimensions.
#include "kernels/attention/attention_cuda.cuh"

namespace braid::cuda {

void Attend256(const AttentionLaunch& launch) { LaunchAttention<256>(launch); }

}  // namespace braid::cuda
