#include "kernels/attention/attention.h"

#include <limits>
#include <memory>

#include "kernels/attention/kv_element.h"
#include "kernels/testing/backends_test.h"

namespace braid {
namespace {

using testing::ExpectBackendsAgree;
using testing::Noise;
using testing::RunWalk;
using testing::Tolerance;

struct Chunk {
  int start, tokens;
};

struct Shape {
  int heads, kv_heads, head_dim, block_size;
  DType dtype;
  int window = 0;
  bool slopes = false, sinks = false;
  int first = 0;
};

// A cache of `sequences` sequences of up to `length` tokens, their blocks in falling order; rows never written are NaN.
class Cache {
 public:
  Cache(const Shape& shape, int sequences, int length) : shape_(shape) {
    blocks_ = (length + shape.block_size - 1) / shape.block_size;
    layer_ = {nullptr, shape.dtype, shape.block_size, shape.kv_heads, shape.head_dim};
    bytes_.resize(static_cast<size_t>(sequences * blocks_ * layer_.block_bytes()));
    layer_.data = bytes_.data();
    const int64_t elements = sequences * blocks_ * shape.kv_heads * layer_.head_elements();
    for (int64_t i = 0; i < elements; ++i) WriteKv(layer_, i, std::numeric_limits<float>::quiet_NaN());
    for (int i = sequences * blocks_; i-- > 0;) table_.push_back(i);
  }
  const KvLayer& layer() const { return layer_; }
  const int32_t* Blocks(int sequence) const { return table_.data() + sequence * blocks_; }
  void Fill(int sequence, uint64_t seed, int length) {
    for (int s = 0; s < length; ++s) {
      for (int h = 0; h < shape_.kv_heads; ++h) {
        for (int d = 0; d < shape_.head_dim; ++d) {
          const int64_t block = Blocks(sequence)[s / shape_.block_size], row = s % shape_.block_size;
          const uint64_t column = static_cast<uint64_t>(h * shape_.head_dim + d);
          WriteKv(layer_, KvIndex(layer_, KvPart::kKey, block, h, row, d), 2 * Noise(seed, s, column));
          WriteKv(layer_, KvIndex(layer_, KvPart::kValue, block, h, row, d), Noise(seed + 1, s, column));
        }
      }
    }
  }

 private:
  Shape shape_;
  int blocks_;
  KvLayer layer_;
  std::vector<std::byte> bytes_;
  std::vector<int32_t> table_;
};

// Attention of one chunk of each sequence; queries depend on sequence seed and position only.
std::vector<float> Attend(Backend& backend, const Shape& shape, const Cache& cache, const std::vector<Chunk>& chunks,
                          const std::vector<uint64_t>& seeds) {
  const int64_t width = int64_t{shape.heads} * shape.head_dim, stride = width + 3;
  std::vector<SequenceSpan> spans;
  std::vector<int32_t> ids;
  std::vector<float> q;
  for (size_t i = 0; i < chunks.size(); ++i) {
    SequenceSpan span;
    span.first_row = static_cast<int32_t>(ids.size());
    span.num_tokens = span.num_committed = chunks[i].tokens;
    span.start = chunks[i].start;
    span.blocks = cache.Blocks(static_cast<int>(i));
    spans.push_back(span);
    for (int t = 0; t < chunks[i].tokens; ++t) {
      ids.push_back(0);
      for (int64_t c = 0; c < stride; ++c) q.push_back(2 * Noise(seeds[i] + 7, chunks[i].start + t, c));
    }
  }
  const int64_t tokens = static_cast<int64_t>(ids.size());
  RaggedBatch batch;
  batch.ids = ids;
  batch.sequences = spans;
  std::vector<float> out(tokens * width);
  std::vector<float> slopes, sinks;
  for (int h = 0; h < shape.heads; ++h) slopes.push_back(std::exp2(-0.5f * static_cast<float>(h + 1)));
  for (int h = 0; h < shape.heads; ++h) sinks.push_back(static_cast<float>(h) - 2);
  RunWalk(backend, [&](Ops& op) {
    op.Attention({.q = {q.data(), DType::kF32, tokens, width, stride},
                  .heads = shape.heads,
                  .scale = 1 / std::sqrt(static_cast<float>(shape.head_dim)),
                  .window = shape.window,
                  .first = shape.first,
                  .slopes = shape.slopes ? slopes.data() : nullptr,
                  .sinks = shape.sinks ? sinks.data() : nullptr,
                  .batch = &batch,
                  .cache = cache.layer(),
                  .out = TensorView::Of(out.data(), tokens, width)});
  });
  return out;
}

constexpr Shape kShapes[] = {
    {4, 2, 16, 16, DType::kF32},  {8, 8, 64, 32, DType::kF16},   {8, 1, 80, 32, DType::kBF16},
    {3, 1, 8, 48, DType::kF32},   {12, 2, 128, 32, DType::kF32}, {40, 1, 20, 16, DType::kF16},
    {5, 5, 1, 64, DType::kBF16},  {4, 2, 16, 32, DType::kF32, 8}, {6, 3, 32, 16, DType::kF16, 33},
    {8, 8, 64, 32, DType::kF32, 1}, {6, 6, 8, 32, DType::kF32, 0, true}, {4, 2, 32, 32, DType::kF32, 16, false, true},
    {8, 2, 64, 16, DType::kBF16, 40, true, true}, {4, 2, 32, 32, DType::kF32, 0, false, false, 1},
    {8, 4, 16, 16, DType::kF16, 20, false, false, 35},
};

TEST(Attention, EveryBackendAgreesWithRef) {
  const std::vector<Chunk> chunks = {{0, 1}, {0, 37}, {70, 1}, {31, 3}, {40, 0}, {15, 1}, {16, 40}};
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(absl::StrCat(shape.heads, "/", shape.kv_heads, " x ", shape.head_dim));
    Cache cache(shape, static_cast<int>(chunks.size()), 96);
    std::vector<uint64_t> seeds;
    for (size_t i = 0; i < chunks.size(); ++i) {
      seeds.push_back(100 * i);
      cache.Fill(static_cast<int>(i), seeds.back(), chunks[i].start + chunks[i].tokens);
    }
    ExpectBackendsAgree([&](Backend& backend) { return Attend(backend, shape, cache, chunks, seeds); },
                        [&](const auto&) { return Tolerance(shape.head_dim + 96, 4); });
  }
}

// Queries, weights and finer caches are rounded to bf16: scores of a few units move by 2^-8 of their terms' size.
TEST(Attention, Bf16ProductsOnCudaAreNearRef) {
  Backend* const cuda = testing::Cuda(Precision::kBf16);
  if (cuda == nullptr) GTEST_SKIP() << "no CUDA device";
  const std::vector<Chunk> chunks = {{0, 1}, {0, 37}, {70, 1}, {31, 3}, {40, 0}, {600, 1}, {100, 40}};
  for (const Shape& shape : kShapes) {
    SCOPED_TRACE(absl::StrCat(shape.heads, "/", shape.kv_heads, " x ", shape.head_dim));
    Cache cache(shape, static_cast<int>(chunks.size()), 640);
    std::vector<uint64_t> seeds;
    for (size_t i = 0; i < chunks.size(); ++i) {
      seeds.push_back(100 * i);
      cache.Fill(static_cast<int>(i), seeds.back(), chunks[i].start + chunks[i].tokens);
    }
    const auto want = Attend(*MakeRefBackend(), shape, cache, chunks, seeds);
    testing::ExpectNear(Attend(*cuda, shape, cache, chunks, seeds), want, 0.03f);
  }
}

// Contexts that blocks divide among each other, and heads of up to 256 dimensions.
TEST(Attention, LongContextsAndWideHeadsAgreeWithRef) {
  constexpr Shape kWide[] = {{2, 1, 256, 16, DType::kF16}, {3, 1, 200, 32, DType::kF32}, {2, 2, 256, 32, DType::kBF16},
                             {4, 1, 64, 32, DType::kBF16, 300, true, true}};
  const std::vector<Chunk> chunks = {{700, 1}, {513, 3}, {0, 1}, {620, 12}};
  for (const Shape& shape : kWide) {
    SCOPED_TRACE(absl::StrCat(shape.heads, "/", shape.kv_heads, " x ", shape.head_dim));
    Cache cache(shape, static_cast<int>(chunks.size()), 704);
    std::vector<uint64_t> seeds;
    for (size_t i = 0; i < chunks.size(); ++i) {
      seeds.push_back(100 * i);
      cache.Fill(static_cast<int>(i), seeds.back(), chunks[i].start + chunks[i].tokens);
    }
    ExpectBackendsAgree([&](Backend& backend) { return Attend(backend, shape, cache, chunks, seeds); },
                        [&](const auto&) { return Tolerance(shape.head_dim + 704, 4); });
  }
}

TEST(Attention, BitsOfARowDependNeitherOnCutsNorOnCompany) {
  constexpr int kLength = 75;
  for (const Shape& shape : kShapes) {
    Cache cache(shape, 2, 96);
    cache.Fill(0, 5, kLength);
    cache.Fill(1, 6, 96);
    for (const auto& backend : testing::AllCpuBackends()) {
      SCOPED_TRACE(backend->Name());
      const std::vector<float> whole = Attend(*backend, shape, cache, {{0, kLength}}, {5});
      for (int size : {1, 7, 31, 33}) {
        std::vector<float> pieces;
        for (int at = 0; at < kLength; at += size) {
          const int tokens = std::min(size, kLength - at), company = at % 3 * 20;
          const auto part = Attend(*backend, shape, cache, {{at, tokens}, {company, 1 + at % 5}}, {5, 6});
          pieces.insert(pieces.end(), part.begin(), part.begin() + tokens * shape.heads * shape.head_dim);
        }
        EXPECT_TRUE(testing::SameBits(pieces, whole)) << "chunks of " << size;
      }
    }
  }
}

TEST(Attention, LargeScoresStayFinite) {
  const Shape shape = {1, 1, 16, 16, DType::kF32};
  Cache cache(shape, 1, 64);
  cache.Fill(0, 1, 64);
  for (int64_t i = 0; i < 4 * cache.layer().head_elements(); ++i) {
    WriteKv(cache.layer(), i, 1000 * ReadKv(cache.layer(), i));
  }
  ExpectBackendsAgree([&](Backend& backend) { return Attend(backend, shape, cache, {{60, 4}}, {1}); },
                      [&](const auto&) { return 1.0f; });
}

}  // namespace
}  // namespace braid
