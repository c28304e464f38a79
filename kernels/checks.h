// Whether an operation's arguments fit together: shapes, types, strides. Our own faults, so they end the process.
// The backends check before they forward; the kernels do not.
#pragma once

#include <span>

#include "kernels/embedding/embedding.h"
#include "kernels/linear/linear.h"
#include "kernels/moe/moe.h"

namespace braid {

void Check(const LinearArgs& args);
void Check(const EmbeddingArgs& args);
void Check(const ExpertsArgs& args);
void CheckGatherRows(TensorView x, std::span<const int32_t> rows, TensorView y);

// The other operations check in their own files.
template <class Args>
void Check(const Args&) {}

}  // namespace braid
