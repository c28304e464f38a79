// Members split the channels, so that each reads and writes ring rows of its own channels only. A strip of 64 channels
// keeps its taps, transposed, in the first cache.
#include "kernels/conv1d/conv1d.h"

#include "kernels/base/team.h"
#include "kernels/scratch.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

constexpr int kVectors = 4;
constexpr int kStrip = kVectors * kLanes;

// Channels [first, first + count) and their taps.
struct Strip {
  int64_t first;
  int count;
  float* taps;  // [K + 1, kStrip]: row j multiplies input t - K + 1 + j, row K is the bias
};

void LoadTaps(const Conv1dArgs& args, const Strip& strip) {
  const int num_taps = args.layout.conv_kernel;
  for (int c = 0; c < strip.count; ++c) {
    const float* const weight = args.weight + (strip.first + c) * num_taps;
    for (int j = 0; j < num_taps; ++j) strip.taps[j * kStrip + c] = weight[j];
    strip.taps[num_taps * kStrip + c] = args.bias != nullptr ? args.bias[strip.first + c] : 0.0f;
  }
}

float* RingRow(const Conv1dArgs& args, const SequenceSpan& span, int position) {
  const MambaStateLayout& layout = args.layout;
  return args.state.slot(span.state_slot) + layout.conv_offset() +
         position % layout.conv_rows() * layout.conv_row_words();
}

// A tap of `count` channels: sums += weight * x, x zero where null.
template <bool kWhole>
BRAID_WORD void AddTap(const float* x, const float* weight, int count, V16* sums) {
  for (int v = 0; v < kVectors; ++v) {
    const int lanes = kWhole ? kLanes : count - v * kLanes < kLanes ? count - v * kLanes : kLanes;
    if (lanes <= 0) return;
    const V16 input = x == nullptr ? Zero() : kWhole ? Load(x + v * kLanes) : Load(x + v * kLanes, lanes);
    sums[v] = Fma(Load(weight + v * kLanes), input, sums[v]);
  }
}

template <bool kWhole>
void ConvolveRow(const Conv1dArgs& args, const SequenceSpan& span, int t, const Strip& strip) {
  const int num_taps = args.layout.conv_kernel;
  V16 sums[kVectors];
  for (int v = 0; v < kVectors; ++v) sums[v] = Load(strip.taps + num_taps * kStrip + v * kLanes);
  for (int j = 0; j < num_taps; ++j) {
    const int position = span.start + t - num_taps + 1 + j;
    const float* const row = position < 0            ? nullptr
                             : position < span.start ? RingRow(args, span, position)
                                                     : args.x.row(span.first_row + position - span.start);
    AddTap<kWhole>(row == nullptr ? nullptr : row + strip.first, strip.taps + j * kStrip, strip.count, sums);
  }
  float* const y = args.y.row(span.first_row + t) + strip.first;
  for (int v = 0; v < kVectors && v * kLanes < strip.count; ++v) {
    const int left = strip.count - v * kLanes;
    Store(y + v * kLanes, args.silu ? Silu(sums[v]) : sums[v], left < kLanes ? left : kLanes);
  }
}

void WriteRing(const Conv1dArgs& args, const SequenceSpan& span, const Strip& strip) {
  const int rows = static_cast<int>(args.layout.conv_rows());
  for (int t = span.num_tokens > rows ? span.num_tokens - rows : 0; t < span.num_tokens; ++t) {
    memcpy(RingRow(args, span, span.start + t) + strip.first, args.x.row(span.first_row + t) + strip.first,
           sizeof(float) * static_cast<size_t>(strip.count));
  }
}

void RunStrip(const Conv1dArgs& args, const Strip& strip) {
  LoadTaps(args, strip);
  const SequenceSpan* const spans = args.batch->sequences.data();
  for (size_t i = 0; i < args.batch->sequences.size(); ++i) {
    for (int t = 0; t < spans[i].num_tokens; ++t) {
      (strip.count == kStrip ? ConvolveRow<true> : ConvolveRow<false>)(args, spans[i], t, strip);
    }
    WriteRing(args, spans[i], strip);
  }
}

}  // namespace

void Conv1d(const Conv1dArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const int64_t words = int64_t{kStrip} * (args.layout.conv_kernel + 1);
  float* const memory = scratch.Array<float>(words * share.count);
  if (scratch.measuring()) return;
  const Share::Range range = share.Of(args.layout.conv_dim(), kLanes);
  for (int64_t c = range.begin; c < range.end; c += kStrip) {
    const int count = static_cast<int>(range.end - c < kStrip ? range.end - c : kStrip);
    RunStrip(args, {c, count, memory + words * share.index});
  }
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
