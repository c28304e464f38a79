// The definition of every operation: plain loops in f32 on one thread.
#pragma once

#include "kernels/cpu_ops.h"

namespace braid::ref {

#define BRAID_DECLARE_OP(Op) void Op(const Op##Args& args);
BRAID_FOR_EACH_ISA_OP(BRAID_DECLARE_OP)
BRAID_FOR_EACH_PLAIN_OP(BRAID_DECLARE_OP)
#undef BRAID_DECLARE_OP
// The value that an epilogue makes of a product, and of `up` where it takes a pair.
float Activate(Epilogue epilogue, float v, float up);
void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y);

}  // namespace braid::ref
