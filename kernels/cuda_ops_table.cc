#include "kernels/cuda_ops.h"

namespace braid::cuda {

const OpTable kOps = {
    .Embedding = &Embedding,
    .RmsNorm = &RmsNorm,
    .LayerNorm = &LayerNorm,
    .GatedRmsNorm = &GatedRmsNorm,
    .Linear = &Linear,
    .RopeKvWrite = nullptr,
    .Attention = &Attention,
    .Conv1d = nullptr,
    .Ssm = &Ssm,
    .Route = &Route,
    .Experts = &Experts,
    .Sample = nullptr,
    .TokenLogprobs = nullptr,
    .GatherRows = &GatherRows,
    .Pack = &Pack,
};

}  // namespace braid::cuda
