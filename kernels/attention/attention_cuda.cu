// Two launches over the same batch: sequences with few tokens (decode, drafts), whose context is divided among blocks
// and merged by MergeSplits, and prompt chunks. Either leaves the other's sequences alone.
#include "kernels/attention/attention_cuda.cuh"

#include "kernels/cuda_ops.h"
#include "kernels/device.h"

namespace braid::cuda {
namespace {

constexpr int kMergeThreads = 128;
constexpr int kSplitPositions = 256;  // a split should have so many at least

// Grid: (heads, tokens).
__global__ void __launch_bounds__(kMergeThreads) MergeSplits(const AttentionParams p) {
  const int head = blockIdx.x, token = blockIdx.y, sequence = p.token_sequence[token];
  if (sequence < 0) return;
  const SequenceSpan span = p.sequences[sequence];
  if (span.padding || span.num_tokens > kFewQueryTokens) return;
  const auto at = [&](int split) { return PartialIndex(p, split, sequence, token - span.first_row, head); };
  float max = -Infinity(), sum = 0;
  for (int s = 0; s < p.splits; ++s) max = fmaxf(max, p.partial_max[at(s)]);
  for (int s = 0; s < p.splits; ++s) sum += expf(p.partial_max[at(s)] - Base(max)) * p.partial_sum[at(s)];
  const float factor = NormOf(p, head, max, sum).factor;
  for (int d = threadIdx.x; d < p.head_dim; d += kMergeThreads) {
    float value = 0;
    for (int s = 0; s < p.splits; ++s) {
      value += expf(p.partial_max[at(s)] - Base(max)) * p.partial_values[at(s) * p.head_dim + d];
    }
    OutOf(p, token, head)[d] = value * factor;
  }
}

// Terms that keep a cached number.
int KvTerms(DType dtype, Precision precision) {
  if (precision == Precision::kBf16 || dtype == DType::kBF16) return 1;
  return dtype == DType::kF16 ? 2 : 3;
}

AttentionParams ParamsOf(const AttentionArgs& args, const DeviceBatch& batch, Precision precision) {
  const KvLayer& cache = args.cache;
  AttentionParams p{};
  p.q = args.q.f32();
  p.q_stride = args.q.stride;
  p.out = args.out.f32();
  p.out_stride = args.out.stride;
  p.heads = args.heads;
  p.group = args.heads / cache.kv_heads;
  p.head_dim = cache.head_dim;
  p.window = args.window;
  p.first = args.first;
  p.scale = args.scale;
  p.slopes = args.slopes;
  p.sinks = args.sinks;
  p.sequences = batch.sequences;
  p.token_sequence = batch.token_sequence;
  p.num_sequences = batch.num_sequences;
  p.few = std::min(batch.max_span_tokens, kFewQueryTokens);
  p.splits = 1;
  p.cache = cache.data;
  p.dtype = cache.dtype;
  p.block_size = cache.block_size;
  p.kv_heads = cache.kv_heads;
  p.async = cache.dtype == DType::kBF16 && cache.head_dim % 8 == 0;
  p.kv_terms = KvTerms(cache.dtype, precision);
  return p;
}

void LaunchFor(const AttentionLaunch& launch) {
  if (launch.params.head_dim <= 64) return Attend64(launch);
  if (launch.params.head_dim <= 128) return Attend128(launch);
  Attend256(launch);
}

int64_t MaxSplits(int max_context) { return CeilDiv(std::max(max_context, 1), kSplitPositions); }
int64_t WantedBlocks() { return 4 * device::NumProcessors(); }

int SplitsOf(int64_t blocks, int max_context) {
  const int64_t wanted = WantedBlocks() / std::max<int64_t>(blocks, 1);
  return static_cast<int>(std::clamp<int64_t>(wanted, 1, MaxSplits(max_context)));
}

// Rows of partial results of this batch or a smaller one: a block has sixteen at most.
int64_t MaxPartialRows(const AttentionParams& p, int max_context) {
  return std::min(16 * WantedBlocks(), MaxSplits(max_context) * p.num_sequences * p.few * p.heads);
}

}  // namespace

void Attention(const AttentionArgs& args, Step& step) {
  CHECK_LE(args.cache.head_dim, 256);
  Scratch::Scope scope(step.scratch());
  const DeviceBatch& batch = step.Place(*args.batch);
  AttentionParams p = ParamsOf(args, batch, step.precision());
  const int64_t tiles = CeilDiv(int64_t{p.few} * p.group, 16);
  const int splits = SplitsOf(tiles * p.kv_heads * batch.num_sequences, batch.max_context);
  const int64_t rows = MaxPartialRows(p, batch.max_context);
  p.partial_values = step.scratch().Array<float>(rows * p.head_dim);
  p.partial_max = step.scratch().Array<float>(rows);
  p.partial_sum = step.scratch().Array<float>(rows);
  if (step.measuring() || batch.num_tokens == 0) return;

  p.splits = splits;
  p.row_tiles = static_cast<int>(tiles);
  LaunchFor({p, step.precision(), Divide::kPositions, step.stream()});
  if (splits > 1) {
    Launch(MergeSplits,
           {.grid = {static_cast<unsigned>(p.heads), static_cast<unsigned>(batch.num_tokens)},
            .block = kMergeThreads,
            .stream = step.stream()},
           p);
  }
  if (batch.max_span_tokens <= kFewQueryTokens) return;
  p.splits = 1;
  p.row_tiles = static_cast<int>(CeilDiv(int64_t{batch.num_tokens} * p.group, 64) + batch.num_sequences);
  LaunchFor({p, step.precision(), Divide::kRows, step.stream()});
}

}  // namespace braid::cuda
