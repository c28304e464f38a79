// Two launches: outputs, a thread a channel of a token, which read the rows before a chunk from the state's ring; then
// the chunk's last rows into the ring, which must not happen before. Bound by memory.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"

namespace braid::cuda {
namespace {

constexpr int kThreads = 128;

struct Conv {
  const float* x;
  int64_t x_stride;
  const float *weight, *bias;
  float* y;
  int64_t y_stride;
  float* state;  // of slot 0, where its ring begins
  int64_t slot_stride, row_words;
  int rows, taps, channels;
  bool silu;
  const int32_t* token_sequence;
  const SequenceSpan* sequences;
};

// The raw input row of an absolute position at or after 0.
__device__ const float* InputRow(const Conv& c, const SequenceSpan& span, int position) {
  if (position >= span.start) return c.x + (span.first_row + position - span.start) * c.x_stride;
  return c.state + span.state_slot * c.slot_stride + position % c.rows * c.row_words;
}

__global__ void __launch_bounds__(kThreads) Conv1dKernel(Conv c) {
  const int token = blockIdx.x, channel = blockIdx.y * kThreads + threadIdx.x;
  const int owner = c.token_sequence[token];
  if (owner < 0 || channel >= c.channels) return;
  const SequenceSpan& span = c.sequences[owner];
  const int position = span.start + token - span.first_row;
  float sum = c.bias == nullptr ? 0.0f : c.bias[channel];
  for (int tap = 0; tap < c.taps; ++tap) {
    const int from = position - c.taps + 1 + tap;
    if (from >= 0) sum = fmaf(c.weight[int64_t{channel} * c.taps + tap], InputRow(c, span, from)[channel], sum);
  }
  c.y[token * c.y_stride + channel] = c.silu ? Silu(sum) : sum;
}

// A block keeps some channels of one sequence's last rows.
__global__ void __launch_bounds__(kThreads) KeepRowsKernel(Conv c) {
  const SequenceSpan& span = c.sequences[blockIdx.x];
  const int channel = blockIdx.y * kThreads + threadIdx.x;
  if (channel >= c.channels) return;
  const int kept = min(span.num_tokens, c.rows);
  for (int t = span.num_tokens - kept; t < span.num_tokens; ++t) {
    float* const row = c.state + span.state_slot * c.slot_stride + (span.start + t) % c.rows * c.row_words;
    row[channel] = c.x[(span.first_row + t) * c.x_stride + channel];
  }
}

}  // namespace

void Conv1d(const Conv1dArgs& args, Step& step) {
  if (step.measuring() || args.batch->num_tokens() == 0) return;
  const DeviceBatch& batch = step.Place(*args.batch);
  const MambaStateLayout& layout = args.layout;
  const Conv conv{.x = args.x.f32(), .x_stride = args.x.stride, .weight = args.weight, .bias = args.bias,
                  .y = args.y.f32(), .y_stride = args.y.stride,
                  .state = args.state.data + layout.conv_offset(),
                  .slot_stride = args.state.slot_stride, .row_words = layout.conv_row_words(),
                  .rows = static_cast<int>(layout.conv_rows()), .taps = layout.conv_kernel,
                  .channels = static_cast<int>(layout.conv_dim()), .silu = args.silu,
                  .token_sequence = batch.token_sequence, .sequences = batch.sequences};
  const unsigned across = static_cast<unsigned>(CeilDiv(conv.channels, kThreads));
  Launch(Conv1dKernel, {.grid = dim3(static_cast<unsigned>(batch.num_tokens), across), .block = kThreads, .stream = step.stream()}, conv);
  Launch(KeepRowsKernel, {.grid = dim3(static_cast<unsigned>(batch.num_sequences), across), .block = kThreads, .stream = step.stream()}, conv);
}

}  // namespace braid::cuda
