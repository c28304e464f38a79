#include <algorithm>
#include <cmath>

#include "kernels/conv1d/conv1d.h"

namespace braid::ref {
namespace {

float* RingRow(const Conv1dArgs& args, const SequenceSpan& span, int position) {
  const MambaStateLayout& layout = args.layout;
  return args.state.slot(span.state_slot) + layout.conv_offset() +
         position % layout.conv_rows() * layout.conv_row_words();
}

// Raw input row of an absolute position: null before 0.
const float* InputRow(const Conv1dArgs& args, const SequenceSpan& span, int position) {
  if (position < 0) return nullptr;
  if (position < span.start) return RingRow(args, span, position);
  return args.x.row(span.first_row + position - span.start);
}

void Convolve(const Conv1dArgs& args, const SequenceSpan& span, int t) {
  const int taps = args.layout.conv_kernel;
  for (int64_t c = 0; c < args.layout.conv_dim(); ++c) {
    double sum = args.bias != nullptr ? args.bias[c] : 0;
    for (int j = 0; j < taps; ++j) {
      const float* x = InputRow(args, span, span.start + t - taps + 1 + j);
      if (x != nullptr) sum += double{args.weight[c * taps + j]} * x[c];
    }
    args.y.row(span.first_row + t)[c] = static_cast<float>(args.silu ? sum / (1 + std::exp(-sum)) : sum);
  }
}

}  // namespace

void Conv1d(const Conv1dArgs& args) {
  for (const SequenceSpan& span : args.batch->sequences) {
    for (int t = 0; t < span.num_tokens; ++t) Convolve(args, span, t);
    const int kept = std::min<int64_t>(span.num_tokens, args.layout.conv_rows());
    for (int t = span.num_tokens - kept; t < span.num_tokens; ++t) {
      const float* x = args.x.row(span.first_row + t);
      std::copy_n(x, args.layout.conv_dim(), RingRow(args, span, span.start + t));
    }
  }
}

}  // namespace braid::ref
