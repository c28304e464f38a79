// Reads rows out of the panels that linear multiplies with: a tied table is kept once.
#include "kernels/cpu_ops.h"
#include "kernels/linear/cpu_packed_weight.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {

void Embedding(const EmbeddingArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const CpuPackedWeight& table = CpuPackedWeight::Of(args.table);
  const Share::Range mine = share.Of(args.y.rows);
  for (int64_t t = mine.begin; t < mine.end; ++t) table.UnpackRow(args.ids[t], args.y.row(t));
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
