#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/attention/kv_element.h"

namespace braid::ref {
namespace {

// Query head `head` at `position`: scores, softmax, weighted sum of values.
void Attend(const AttentionArgs& args, const SequenceSpan& span, int position, int head, const float* q, float* out) {
  const KvLayer& cache = args.cache;
  const int kv_head = head / (args.heads / cache.kv_heads);
  const int reach = args.window > 0 ? std::max(0, position - args.window + 1) : 0;
  const int first = std::max(reach, std::min(args.first, position));
  const auto read = [&](KvPart part, int s, int d) {
    return ReadKv(cache, KvIndex(cache, part, span.blocks[s / cache.block_size], kv_head, s % cache.block_size, d));
  };
  std::vector<double> weights(position + 1 - first);
  for (int s = first; s <= position; ++s) {
    double dot = 0;
    for (int d = 0; d < cache.head_dim; ++d) dot += double{q[d]} * read(KvPart::kKey, s, d);
    weights[s - first] = dot * args.scale;
    if (args.slopes != nullptr) weights[s - first] += double{args.slopes[head]} * (s - position);
  }
  double max = *std::max_element(weights.begin(), weights.end());
  if (args.sinks != nullptr) max = std::max<double>(max, args.sinks[head]);
  double sum = args.sinks != nullptr ? std::exp(args.sinks[head] - max) : 0;
  for (double& weight : weights) sum += weight = std::exp(weight - max);
  for (int d = 0; d < cache.head_dim; ++d) {
    double value = 0;
    for (int s = first; s <= position; ++s) value += weights[s - first] * read(KvPart::kValue, s, d);
    out[d] = static_cast<float>(value / sum);
  }
}

}  // namespace

void Attention(const AttentionArgs& args) {
  const int head_dim = args.cache.head_dim;
  for (const SequenceSpan& span : args.batch->sequences) {
    for (int t = 0; t < span.num_tokens; ++t) {
      for (int h = 0; h < args.heads; ++h) {
        const int64_t row = span.first_row + t, column = int64_t{h} * head_dim;
        Attend(args, span, span.start + t, h, args.q.row(row) + column, args.out.row(row) + column);
      }
    }
  }
}

}  // namespace braid::ref
