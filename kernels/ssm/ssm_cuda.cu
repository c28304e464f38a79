// Three kernels, one behind the other:
//   FewTokens   sequences with few tokens that stay before the next grid line (decode): outputs from the slot's state
//               and the ring. A block has one head; its state passes once for four tokens and is all that counts: 4 *
//               state_size * head_dim bytes from memory.
//   WalkTokens  all other sequences: a block walks the segments between grid lines with 32 columns of one head's state
//               in shared memory. Scores, outputs and folds are small matrix products in tiles of 4 x 4 a thread,
//               bound by shared memory and f32 arithmetic.
//   WriteRing   the rows that a later step needs, after all rows of the ring were read.
#include <algorithm>

#include "kernels/cuda_ops.h"
#include "kernels/device.h"
#include "kernels/ssm/ssm_few_cuda.cuh"
#include "kernels/ssm/ssm_walk_cuda.cuh"

namespace braid::cuda::ssm {
namespace {

constexpr int kBlocksEach = 6;  // of WalkTokens for a processor; it holds three

// Grid: (columns, tokens).
__global__ void __launch_bounds__(kThreads) WriteRing(const SsmParams p) {
  const int row = blockIdx.y, sequence = p.token_sequence[row];
  if (sequence < 0) return;
  const SequenceSpan span = p.sequences[sequence];
  const int position = span.start + row - span.first_row;
  if (span.padding || position < LineAfter(p, span)) return;
  const int64_t words = p.d_inner + p.d_bc, i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= words + p.heads) return;
  RingRow(p, span, position)[i] =
      i < words ? p.xbc[row * p.xbc_stride + i] : StepOf(p, row, static_cast<int>(i - words));
}

SsmParams ParamsOf(const SsmArgs& args, const DeviceBatch& batch) {
  const MambaStateLayout& layout = args.layout;
  return {.xbc = args.xbc.f32(), .dt = args.dt.f32(), .dt_bias = args.dt_bias, .a = args.a, .d = args.d,
          .xbc_stride = args.xbc.stride, .dt_stride = args.dt.stride, .dt_min = args.dt_min, .dt_max = args.dt_max,
          .state = args.state.data, .slot_stride = args.state.slot_stride, .y = args.y.f32(),
          .y_stride = args.y.stride, .sequences = batch.sequences, .token_sequence = batch.token_sequence,
          .heads = layout.heads, .head_dim = layout.head_dim, .padded = static_cast<int>(layout.head_dim_padded()),
          .state_size = layout.state_size, .groups = layout.groups, .grid = layout.grid,
          .ring_rows = static_cast<int>(layout.ring_rows()), .ring_offset = layout.ring_offset(),
          .ring_row_words = layout.ring_row_words(), .d_inner = layout.d_inner(), .d_bc = layout.d_bc()};
}

uint32_t Blocks(int64_t count, int64_t per_block) { return static_cast<uint32_t>(CeilDiv(count, per_block)); }

}  // namespace
}  // namespace braid::cuda::ssm

namespace braid::cuda {

void Ssm(const SsmArgs& args, Step& step) {
  using namespace ssm;
  if (step.measuring()) return;
  const DeviceBatch& batch = step.Place(*args.batch);
  if (batch.num_tokens == 0) return;
  const MambaStateLayout& layout = args.layout;
  CHECK(layout.grid % kTile == 0 && layout.grid <= kMaxGrid) << "grid " << layout.grid;
  CHECK_LE(layout.head_dim_padded(), 4 * kThreads);
  const SsmParams params = ParamsOf(args, batch);
  const uint32_t heads = static_cast<uint32_t>(layout.heads), sequences = static_cast<uint32_t>(batch.num_sequences);
  Launch(FewTokens,
         {.grid = {heads, sequences},
          .block = kThreads,
          .shared_bytes = static_cast<size_t>(4 * FewFloats(layout, batch.max_span_tokens == 1 ? 1 : kTokens)),
          .stream = step.stream()},
         params);
  const uint32_t slices = Blocks(layout.head_dim_padded(), kColumns);
  Launch(WalkTokens,
         {.grid = {slices, heads, std::min(sequences, Blocks(kBlocksEach * device::NumProcessors(), slices * heads))},
          .block = kThreads,
          .shared_bytes = static_cast<size_t>(4 * WalkFloats(layout.state_size, layout.grid)),
          .stream = step.stream()},
         params, batch.num_sequences);
  Launch(WriteRing,
         {.grid = {Blocks(layout.d_inner() + layout.d_bc() + layout.heads, kThreads),
                   static_cast<uint32_t>(batch.num_tokens)},
          .block = kThreads,
          .stream = step.stream()},
         params);
}

}  // namespace braid::cuda
