// The table of one instruction set's operations; compiled once per instruction set.
#include "kernels/cpu_ops.h"

namespace braid::cpu::BRAID_ISA {

#define BRAID_OP_ENTRY(Op) .Op = &BRAID_ISA::Op,
const CpuOpTable kOps = {BRAID_FOR_EACH_ISA_OP(BRAID_OP_ENTRY)};
#undef BRAID_OP_ENTRY

}  // namespace braid::cpu::BRAID_ISA
