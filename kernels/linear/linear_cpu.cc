#include "kernels/cpu_ops.h"
#include "kernels/linear/gemm_cpu.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

// Up to this many rows each member quantises all of them for itself: sooner done than waited for.
constexpr int64_t kRowsAlone = 2;

void Quantize(const TensorView& x, Share::Range mine, QuantizedBlock* blocks) {
  for (int64_t row = mine.begin; row < mine.end; ++row) QuantizeRow(x.row(row), x.cols, row, x.rows, blocks);
}

}  // namespace

void Linear(const LinearArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const CpuPackedWeight& weight = CpuPackedWeight::Of(args.weight);
  const bool alone = args.x.rows <= kRowsAlone;
  const int64_t num_blocks = weight.has_blocks() ? args.x.rows * BlocksOf(args.x.cols) : 0;
  QuantizedBlock* blocks = scratch.Array<QuantizedBlock>(num_blocks * (alone ? share.count : 1));
  if (scratch.measuring()) return;

  if (num_blocks > 0 && alone) {
    blocks += share.index * num_blocks;
    Quantize(args.x, {0, args.x.rows}, blocks);
  } else if (num_blocks > 0) {
    Quantize(args.x, share.Of(args.x.rows), blocks);
    share.Sync();
  }
  Gemm({args.x, blocks}, weight, {args.y, args.epilogue, args.bias}, share);
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
