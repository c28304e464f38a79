// Whether an operation's arguments fit together: shapes, types, strides. Our own faults, so they end the process.
// The backends check before they forward; the kernels do not.
#pragma once

#include <span>

#include "kernels/attention/attention.h"
#include "kernels/conv1d/conv1d.h"
#include "kernels/embedding/embedding.h"
#include "kernels/linear/linear.h"
#include "kernels/moe/moe.h"
#include "kernels/norm/norm.h"
#include "kernels/rope_kv_write/rope_kv_write.h"
#include "kernels/sample/sample.h"
#include "kernels/scale/scale.h"
#include "kernels/ssm/ssm.h"

namespace braid {

void Check(const LinearArgs& args);
void Check(const EmbeddingArgs& args);
void Check(const RmsNormArgs& args);
void Check(const LayerNormArgs& args);
void Check(const GatedRmsNormArgs& args);
void Check(const ScaleArgs& args);
void Check(const RopeKvWriteArgs& args);
void Check(const AttentionArgs& args);
void Check(const Conv1dArgs& args);
void Check(const SsmArgs& args);
void Check(const RouteArgs& args);
void Check(const ExpertsArgs& args);
void Check(const SampleArgs& args);
void Check(const TokenLogprobsArgs& args);
void CheckGatherRows(TensorView x, std::span<const int32_t> rows, TensorView y);

}  // namespace braid
