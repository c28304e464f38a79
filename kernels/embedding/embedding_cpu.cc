// Reads rows out of the panels that linear multiplies with: a tied table is kept once.
#include "kernels/cpu_ops.h"
#include "kernels/linear/cpu_packed_weight.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

void TakeRow(const CpuPackedWeight& table, int64_t row, float* y) {
  if (row >= 0 && row < table.rows()) return table.UnpackRow(row, y);
  for (int64_t i = 0; i < table.cols(); ++i) y[i] = 0;
}

}  // namespace

void Embedding(const EmbeddingArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const CpuPackedWeight& table = CpuPackedWeight::Of(args.table);
  const int64_t first = args.first_id < 0 ? 0 : args.first_id;
  const Share::Range mine = share.Of(args.y.rows);
  for (int64_t t = mine.begin; t < mine.end; ++t) TakeRow(table, args.ids[t] - first, args.y.row(t));
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
