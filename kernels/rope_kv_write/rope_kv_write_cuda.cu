// One block a token: the cosines and sines of its position once, in f64 for their angles are large, then all heads of q
// in place and k, v into the cache. Bound by memory; the cache's transposed keys are written in single elements.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"

namespace braid::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kMaxPairs = 256;

struct Rope {
  float* q;
  const float *k, *v;
  int64_t q_stride, k_stride, v_stride;
  int q_heads;
  const float* frequencies;
  int pairs;
  bool adjacent;
  float scale;
  const int32_t* token_sequence;
  const SequenceSpan* sequences;
  std::byte* cache;
  int block_size, kv_heads, head_dim;
};

// Element `d` of a head after rotation.
__device__ float Rotated(const Rope& r, const float* head, int d, SharedPtr<float> cosines, SharedPtr<float> sines) {
  const int pair = r.adjacent ? d / 2 : d % r.pairs;
  const bool second = r.adjacent ? d % 2 == 1 : d >= r.pairs;
  const float a = head[r.adjacent ? 2 * pair : pair], b = head[r.adjacent ? 2 * pair + 1 : pair + r.pairs];
  return second ? b * cosines[pair] + a * sines[pair] : a * cosines[pair] - b * sines[pair];
}

__device__ void RotateInPlace(const Rope& r, float* head, int pair, SharedPtr<float> cosines, SharedPtr<float> sines) {
  const int first = r.adjacent ? 2 * pair : pair, second = r.adjacent ? 2 * pair + 1 : pair + r.pairs;
  const float a = head[first], b = head[second];
  head[first] = a * cosines[pair] - b * sines[pair];
  head[second] = b * cosines[pair] + a * sines[pair];
}

template <class T>
__global__ void __launch_bounds__(kThreads) RopeKvWriteKernel(Rope r) {
  BRAID_SHARED(float, cosines, kMaxPairs);
  BRAID_SHARED(float, sines, kMaxPairs);
  const int token = blockIdx.x, owner = r.token_sequence[token];
  if (owner < 0) return;
  const SequenceSpan& span = r.sequences[owner];
  const int position = span.start + token - span.first_row;
  for (int i = threadIdx.x; i < r.pairs; i += kThreads) {
    const double angle = position * static_cast<double>(r.frequencies[i]);
    cosines[i] = static_cast<float>(cos(angle) * r.scale);
    sines[i] = static_cast<float>(sin(angle) * r.scale);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < r.q_heads * r.pairs; i += kThreads) {
    RotateInPlace(r, r.q + token * r.q_stride + i / r.pairs * r.head_dim, i % r.pairs, cosines, sines);
  }
  const int64_t block = span.blocks[position / r.block_size], head_elements = int64_t{2} * r.block_size * r.head_dim;
  const int row = position % r.block_size;
  for (int i = threadIdx.x; i < r.kv_heads * r.head_dim; i += kThreads) {
    const int head = i / r.head_dim, d = i % r.head_dim;
    T* const keys = reinterpret_cast<T*>(r.cache) + (block * r.kv_heads + head) * head_elements;
    const float* const k = r.k + token * r.k_stride + head * r.head_dim;
    keys[int64_t{d} * r.block_size + row] = Narrow<T>(d < 2 * r.pairs ? Rotated(r, k, d, cosines, sines) : k[d]);
    keys[int64_t{r.block_size + row} * r.head_dim + d] = Narrow<T>(r.v[token * r.v_stride + i]);
  }
}

Rope RopeOf(const RopeKvWriteArgs& args, const DeviceBatch& batch) {
  return {.q = args.q.f32(), .k = args.k.f32(), .v = args.v.f32(),
          .q_stride = args.q.stride, .k_stride = args.k.stride, .v_stride = args.v.stride,
          .q_heads = static_cast<int>(args.q.cols / args.cache.head_dim),
          .frequencies = args.inverse_frequencies.data(), .pairs = static_cast<int>(args.inverse_frequencies.size()),
          .adjacent = args.adjacent_pairs, .scale = args.scale,
          .token_sequence = batch.token_sequence, .sequences = batch.sequences,
          .cache = args.cache.data,
          .block_size = args.cache.block_size, .kv_heads = args.cache.kv_heads, .head_dim = args.cache.head_dim};
}

}  // namespace

void RopeKvWrite(const RopeKvWriteArgs& args, Step& step) {
  if (step.measuring() || args.batch->num_tokens() == 0) return;
  CHECK_LE(args.inverse_frequencies.size(), size_t{kMaxPairs});
  const DeviceBatch& batch = step.Place(*args.batch);
  const LaunchConfig config{.grid = static_cast<unsigned>(batch.num_tokens), .block = kThreads, .stream = step.stream()};
  const Rope rope = RopeOf(args, batch);
  switch (args.cache.dtype) {
    case DType::kF32: return Launch(RopeKvWriteKernel<float>, config, rope);
    case DType::kF16: return Launch(RopeKvWriteKernel<F16>, config, rope);
    case DType::kBF16: return Launch(RopeKvWriteKernel<Bf16>, config, rope);
    default: CHECK(false) << DTypeName(args.cache.dtype);
  }
}

}  // namespace braid::cuda
