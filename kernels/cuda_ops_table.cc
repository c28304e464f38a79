#include "kernels/cuda_ops.h"

namespace braid::cuda {

const OpTable kOps = {
    .Embedding = nullptr,
    .RmsNorm = nullptr,
    .LayerNorm = nullptr,
    .GatedRmsNorm = nullptr,
    .Linear = nullptr,
    .RopeKvWrite = nullptr,
    .Attention = nullptr,
    .Conv1d = nullptr,
    .Ssm = nullptr,
    .Route = nullptr,
    .Experts = nullptr,
    .Sample = nullptr,
    .TokenLogprobs = nullptr,
    .GatherRows = nullptr,
    .Pack = nullptr,
};

}  // namespace braid::cuda
