#include "kernels/cuda_ops.h"

namespace braid::cuda {

const OpTable kOps = {
    .Embedding = &Embedding,
    .RmsNorm = &RmsNorm,
    .LayerNorm = &LayerNorm,
    .GatedRmsNorm = &GatedRmsNorm,
    .Scale = &Scale,
    .Linear = &Linear,
    .RopeKvWrite = &RopeKvWrite,
    .Attention = &Attention,
    .Conv1d = &Conv1d,
    .Ssm = &Ssm,
    .Route = &Route,
    .Experts = &Experts,
    .Sample = &Sample,
    .TokenLogprobs = &TokenLogprobs,
    .GatherRows = &GatherRows,
    .Pack = &Pack,
};

}  // namespace braid::cuda
