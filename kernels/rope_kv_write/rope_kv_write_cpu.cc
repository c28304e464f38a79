// A unit is one token and one KV head with its group of query heads. Angles are computed in f64: at position 100000 a
// product in f32 would be off by 0.004.
#include "kernels/rope_kv_write/rope_kv_write.h"

#include <math.h>

#include "kernels/base/team.h"
#include "kernels/scratch.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

// One member's memory.
struct Buffers {
  float* cosines;   // [rotary / 2]
  float* sines;     // [rotary / 2]
  float* key;       // [head_dim] rotated
  uint16_t* words;  // [head_dim] rotated, in the cache's type
};

void ComputeAngles(const RopeKvWriteArgs& args, int position, const Buffers& buffers) {
  const int half = static_cast<int>(args.inverse_frequencies.size());
  for (int i = 0; i < half; ++i) {
    const double angle = position * static_cast<double>(args.inverse_frequencies.data()[i]);
    buffers.cosines[i] = static_cast<float>(cos(angle) * args.scale);
    buffers.sines[i] = static_cast<float>(sin(angle) * args.scale);
  }
}

void RotateHalves(const float* __restrict cosines, const float* __restrict sines, int half, float* __restrict head) {
  for (int i = 0; i < half; ++i) {
    const float a = head[i], b = head[i + half];
    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}

void RotateNeighbours(const float* __restrict cosines, const float* __restrict sines, int half,
                      float* __restrict head) {
  for (int i = 0; i < half; ++i) {
    const float a = head[2 * i], b = head[2 * i + 1];
    head[2 * i] = a * cosines[i] - b * sines[i];
    head[2 * i + 1] = b * cosines[i] + a * sines[i];
  }
}

void Rotate(const RopeKvWriteArgs& args, const Buffers& buffers, float* head) {
  const int half = static_cast<int>(args.inverse_frequencies.size());
  (args.adjacent_pairs ? RotateNeighbours : RotateHalves)(buffers.cosines, buffers.sines, half, head);
}

void Narrow(DType dtype, const float* x, int n, uint16_t* y) {
  for (int i = 0; i < n; i += kLanes) {
    const int lanes = n - i < kLanes ? n - i : kLanes;
    const V16 v = Load(x + i, lanes);
    if (dtype == DType::kBF16) {
      StoreBf16(y + i, v, lanes);
    } else {
      StoreF16(y + i, v, lanes);
    }
  }
}

// Writes a rotated key as column `row` of K transposed and a value as row `row` of V; `head` begins the head's block.
void WriteF32(const KvLayer& cache, const float* k, const float* v, int row, float* head) {
  const int64_t size = cache.block_size, dim = cache.head_dim;
  for (int64_t d = 0; d < dim; ++d) head[d * size + row] = k[d];
  memcpy(head + size * dim + row * dim, v, sizeof(float) * static_cast<size_t>(dim));
}

void WriteNarrow(const KvLayer& cache, const float* k, const float* v, int row, uint16_t* words, uint16_t* head) {
  const int64_t size = cache.block_size, dim = cache.head_dim;
  Narrow(cache.dtype, k, cache.head_dim, words);
  for (int64_t d = 0; d < dim; ++d) head[d * size + row] = words[d];
  Narrow(cache.dtype, v, cache.head_dim, head + size * dim + row * dim);
}

void WriteHead(const RopeKvWriteArgs& args, const SequenceSpan& span, int t, int kv_head, const Buffers& buffers) {
  const KvLayer& cache = args.cache;
  const int64_t dim = cache.head_dim, row = span.first_row + t;
  const int position = span.start + t, group = static_cast<int>(args.q.cols / dim / cache.kv_heads);
  for (int h = kv_head * group; h < (kv_head + 1) * group; ++h) Rotate(args, buffers, args.q.row(row) + h * dim);
  memcpy(buffers.key, args.k.row(row) + kv_head * dim, sizeof(float) * static_cast<size_t>(dim));
  Rotate(args, buffers, buffers.key);
  const float* const v = args.v.row(row) + kv_head * dim;
  const int64_t block = span.blocks[position / cache.block_size];
  const int64_t at = (block * cache.kv_heads + kv_head) * cache.head_elements();
  const int in_block = position % cache.block_size;
  if (cache.dtype == DType::kF32) {
    WriteF32(cache, buffers.key, v, in_block, reinterpret_cast<float*>(cache.data) + at);
  } else {
    WriteNarrow(cache, buffers.key, v, in_block, buffers.words, reinterpret_cast<uint16_t*>(cache.data) + at);
  }
}

}  // namespace

void RopeKvWrite(const RopeKvWriteArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const int64_t half = static_cast<int64_t>(args.inverse_frequencies.size()), dim = args.cache.head_dim;
  const int64_t words = (2 * half + 2 * dim + 15) / 16 * 16;
  float* const memory = scratch.Array<float>(words * share.count);
  if (scratch.measuring()) return;
  float* const own = memory + words * share.index;
  const Buffers buffers = {own, own + half, own + 2 * half, reinterpret_cast<uint16_t*>(own + 2 * half + dim)};

  const SequenceSpan* const spans = args.batch->sequences.data();
  const int num_spans = static_cast<int>(args.batch->sequences.size()), kv_heads = args.cache.kv_heads;
  int64_t tokens = 0;
  for (int i = 0; i < num_spans; ++i) tokens += spans[i].num_tokens;
  const Share::Range range = share.Of(tokens * kv_heads);
  int64_t first = 0;  // unit of the span's first token
  for (int i = 0; i < num_spans; first += int64_t{spans[i].num_tokens} * kv_heads, ++i) {
    for (int t = 0; t < spans[i].num_tokens; ++t) {
      const int64_t begin = range.begin - first - int64_t{t} * kv_heads, end = range.end - first - int64_t{t} * kv_heads;
      if (begin >= kv_heads || end <= 0) continue;
      ComputeAngles(args, spans[i].start + t, buffers);
      for (int64_t h = begin > 0 ? begin : 0; h < end && h < kv_heads; ++h) {
        WriteHead(args, spans[i], t, static_cast<int>(h), buffers);
      }
    }
  }
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
