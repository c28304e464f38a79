#include <cmath>
#include <vector>

#include "kernels/attention/kv_element.h"
#include "kernels/rope_kv_write/rope_kv_write.h"

namespace braid::ref {
namespace {

void Rotate(const RopeKvWriteArgs& args, int position, float* head) {
  const size_t half = args.inverse_frequencies.size();
  for (size_t i = 0; i < half; ++i) {
    const double angle = position * double{args.inverse_frequencies[i]};
    float& a = head[args.adjacent_pairs ? 2 * i : i];
    float& b = head[args.adjacent_pairs ? 2 * i + 1 : i + half];
    const double a_old = a, b_old = b, cosine = std::cos(angle) * args.scale, sine = std::sin(angle) * args.scale;
    a = static_cast<float>(a_old * cosine - b_old * sine);
    b = static_cast<float>(b_old * cosine + a_old * sine);
  }
}

void WriteToken(const RopeKvWriteArgs& args, const SequenceSpan& span, int t) {
  const KvLayer& cache = args.cache;
  const int position = span.start + t, row = position % cache.block_size;
  const int64_t block = span.blocks[position / cache.block_size];
  for (int h = 0; h < cache.kv_heads; ++h) {
    const float* k_row = args.k.row(span.first_row + t) + int64_t{h} * cache.head_dim;
    const float* v = args.v.row(span.first_row + t) + int64_t{h} * cache.head_dim;
    std::vector<float> k(k_row, k_row + cache.head_dim);
    Rotate(args, position, k.data());
    for (int d = 0; d < cache.head_dim; ++d) {
      WriteKv(cache, KvIndex(cache, KvPart::kKey, block, h, row, d), k[d]);
      WriteKv(cache, KvIndex(cache, KvPart::kValue, block, h, row, d), v[d]);
    }
  }
}

}  // namespace

void RopeKvWrite(const RopeKvWriteArgs& args) {
  const int64_t heads = args.q.cols / args.cache.head_dim;
  for (const SequenceSpan& span : args.batch->sequences) {
    for (int t = 0; t < span.num_tokens; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        Rotate(args, span.start + t, args.q.row(span.first_row + t) + h * args.cache.head_dim);
      }
      WriteToken(args, span, t);
    }
  }
}

}  // namespace braid::ref
