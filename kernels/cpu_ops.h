// The operations of the CPU: one set per instruction set, each in its own namespace, behind one table of pointers.
// Every member of a team calls an operation with the same arguments and its own share. An operation takes its
// scratch first and returns at once when that only measures; it ends with share.Sync().
#pragma once

#include <span>

#include "kernels/attention/attention.h"
#include "kernels/base/team.h"
#include "kernels/conv1d/conv1d.h"
#include "kernels/embedding/embedding.h"
#include "kernels/linear/linear.h"
#include "kernels/moe/moe.h"
#include "kernels/norm/norm.h"
#include "kernels/rope_kv_write/rope_kv_write.h"
#include "kernels/sample/sample.h"
#include "kernels/scale/scale.h"
#include "kernels/scratch.h"
#include "kernels/ssm/ssm.h"

// The operations that are compiled once per instruction set.
#define BRAID_FOR_EACH_ISA_OP(X) \
  X(Embedding)                   \
  X(RmsNorm)                     \
  X(LayerNorm)                   \
  X(GatedRmsNorm)                \
  X(Scale)                       \
  X(Linear)                      \
  X(RopeKvWrite)                 \
  X(Attention)                   \
  X(Conv1d)                      \
  X(Ssm)                         \
  X(Route)                       \
  X(Experts)

// Those that are compiled once, for plain x86-64.
#define BRAID_FOR_EACH_PLAIN_OP(X) \
  X(Sample)                        \
  X(TokenLogprobs)

namespace braid::cpu {

#define BRAID_OP_POINTER(Op) void (*Op)(const Op##Args&, const Share&, Scratch&);
struct CpuOpTable {
  BRAID_FOR_EACH_ISA_OP(BRAID_OP_POINTER)
};
#undef BRAID_OP_POINTER

#define BRAID_DECLARE_OP(Op) void Op(const Op##Args& args, const Share& share, Scratch& scratch);
BRAID_FOR_EACH_PLAIN_OP(BRAID_DECLARE_OP)
void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y, const Share& share);

namespace avx2 {
BRAID_FOR_EACH_ISA_OP(BRAID_DECLARE_OP)
extern const CpuOpTable kOps;
}  // namespace avx2

namespace avx512 {
BRAID_FOR_EACH_ISA_OP(BRAID_DECLARE_OP)
extern const CpuOpTable kOps;
}  // namespace avx512

namespace avx512_vnni {
BRAID_FOR_EACH_ISA_OP(BRAID_DECLARE_OP)
extern const CpuOpTable kOps;
}  // namespace avx512_vnni
#undef BRAID_DECLARE_OP

}  // namespace braid::cpu
