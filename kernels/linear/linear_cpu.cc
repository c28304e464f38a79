#include "kernels/cpu_ops.h"
#include "kernels/linear/gemm_cpu.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

// Up to this many rows each member quantises all of them for itself: sooner done than waited for.
constexpr int64_t kRowsAlone = 2;

// The inputs of a row in their weight's order; `memory` has room for them.
const float* Ordered(const float* row, std::span<const int32_t> order, float* memory) {
  if (order.empty()) return row;
  for (size_t k = 0; k < order.size(); ++k) memory[k] = row[order.data()[k]];
  return memory;
}

void Quantize(const TensorView& x, std::span<const int32_t> order, float* memory, Share::Range mine,
              QuantizedBlock* blocks) {
  for (int64_t row = mine.begin; row < mine.end; ++row) {
    QuantizeRow(Ordered(x.row(row), order, memory), x.cols, row, x.rows, blocks);
  }
}

}  // namespace

void Linear(const LinearArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const CpuPackedWeight& weight = CpuPackedWeight::Of(args.weight);
  const bool alone = args.x.rows <= kRowsAlone;
  const int64_t num_blocks = weight.has_blocks() ? args.x.rows * BlocksOf(args.x.cols) : 0;
  QuantizedBlock* blocks = scratch.Array<QuantizedBlock>(num_blocks * (alone ? share.count : 1));
  const std::span<const int32_t> order = weight.input_order();
  const int64_t ordered = static_cast<int64_t>(order.size());
  float* const memory = scratch.Array<float>(ordered * share.count) + ordered * share.index;
  if (scratch.measuring()) return;

  if (num_blocks > 0 && alone) {
    blocks += share.index * num_blocks;
    Quantize(args.x, order, memory, {0, args.x.rows}, blocks);
  } else if (num_blocks > 0) {
    Quantize(args.x, order, memory, share.Of(args.x.rows), blocks);
    share.Sync();
  }
  Gemm({args.x, blocks}, weight, {args.y, args.epilogue, args.bias}, share);
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
