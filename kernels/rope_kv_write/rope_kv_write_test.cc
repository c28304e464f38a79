#include "kernels/rope_kv_write/rope_kv_write.h"

#include "kernels/attention/kv_element.h"
#include "kernels/testing/backends_test.h"

namespace braid {
namespace {

using testing::ExpectBackendsAgree;
using testing::NoiseVector;
using testing::RunWalk;

struct Shape {
  int heads, kv_heads, head_dim, block_size, half;  // half of the rotary width
  bool adjacent_pairs;
  DType dtype;
  float scale = 1.0f;
};

// Writes two chunks, positions 13..49 and 90, and returns q, then every element of the cache.
std::vector<float> Write(Backend& backend, const Shape& shape) {
  constexpr int kTokens = 38, kBlocks = 20;
  const int64_t q_width = int64_t{shape.heads} * shape.head_dim, k_width = int64_t{shape.kv_heads} * shape.head_dim;
  std::vector<float> q = NoiseVector(1, kTokens * q_width), k = NoiseVector(2, kTokens * k_width);
  std::vector<float> v = NoiseVector(3, kTokens * k_width), frequencies;
  for (int i = 0; i < shape.half; ++i) frequencies.push_back(std::pow(10000.0f, -static_cast<float>(i) / shape.half));
  std::vector<int32_t> blocks, ids(kTokens);
  for (int i = kBlocks; i-- > 0;) blocks.push_back(i);
  const SequenceSpan spans[] = {{.first_row = 0, .num_tokens = 37, .start = 13, .blocks = blocks.data()},
                                {.first_row = 37, .num_tokens = 1, .start = 90, .blocks = blocks.data() + 10}};
  RaggedBatch batch;
  batch.ids = ids;
  batch.sequences = spans;
  KvLayer cache = {nullptr, shape.dtype, shape.block_size, shape.kv_heads, shape.head_dim};
  std::vector<std::byte> bytes(static_cast<size_t>(kBlocks * cache.block_bytes()));
  cache.data = bytes.data();
  RunWalk(backend, [&](Ops& op) {
    op.RopeKvWrite({.q = TensorView::Of(q.data(), kTokens, q_width),
                    .k = TensorView::Of(k.data(), kTokens, k_width),
                    .v = TensorView::Of(v.data(), kTokens, k_width),
                    .inverse_frequencies = frequencies,
                    .adjacent_pairs = shape.adjacent_pairs,
                    .scale = shape.scale,
                    .batch = &batch,
                    .cache = cache});
  });
  for (int64_t i = 0; i < kBlocks * shape.kv_heads * cache.head_elements(); ++i) q.push_back(ReadKv(cache, i));
  return q;
}

TEST(RopeKvWrite, EveryBackendAgreesWithRef) {
  constexpr Shape kShapes[] = {
      {4, 2, 16, 16, 8, false, DType::kF32},   {8, 8, 20, 32, 10, true, DType::kF16},
      {3, 1, 128, 32, 32, false, DType::kBF16}, {2, 2, 8, 16, 0, false, DType::kF32},
      {1, 1, 1, 48, 0, false, DType::kBF16},    {4, 2, 32, 32, 8, false, DType::kF32, 1.25f},
  };
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(absl::StrCat(shape.heads, "/", shape.kv_heads, " x ", shape.head_dim));
    // One step of the cache's type: a value within f32 error of a rounding border may fall on either side.
    const float step = shape.dtype == DType::kBF16 ? 0x1p-7f : shape.dtype == DType::kF16 ? 0x1p-10f : 0x1p-21f;
    ExpectBackendsAgree([&](Backend& backend) { return Write(backend, shape); }, [&](const auto&) { return step; });
  }
}

}  // namespace
}  // namespace braid
