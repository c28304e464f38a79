// Every instruction set and CUDA against ref. The tolerance is relative to the row's largest magnitude: plain formats sum
// K = width + inter terms, (K + top_k) 2^-24 * 64 for cancellation; block formats round activations twice, 1/32512 each,
// through the square, whose errors of random sign come to a few parts in a hundred of the row.
#include <algorithm>

#include "kernels/moe/moe.h"
#include "kernels/testing/op_test.h"

namespace braid {
namespace {

using testing::ForEachIsa;
using testing::MakeCpu;
using testing::Matrix;
using testing::PackOrDie;
using testing::RunWalk;
using testing::SameBits;
using testing::StoredWeight;

struct Layer {
  int64_t width, inter;
  std::vector<StoredWeight> up, down;
  Epilogue epilogue = Epilogue::kRelu2;
  std::vector<StoredWeight> gate;            // of a gated epilogue
  std::vector<float> up_bias, down_bias;     // empty: none
};

// Sizes are rounded up to what the format can have.
Layer MakeLayer(DType dtype, int experts, int64_t width, int64_t inter) {
  width = testing::ColsFor(dtype, width);
  inter = testing::ColsFor(dtype, inter);
  Layer layer{width, inter, {}, {}};
  for (int e = 0; e < experts; ++e) {
    layer.up.emplace_back(dtype, inter, width, 2 * e + 1);
    layer.down.emplace_back(dtype, width, inter, 2 * e + 2);
  }
  return layer;
}

// The same with gates, and with biases.
Layer MakeGatedLayer(DType dtype, Epilogue epilogue, int experts, int64_t width, int64_t inter) {
  Layer layer = MakeLayer(dtype, experts, width, inter);
  layer.epilogue = epilogue;
  for (int e = 0; e < experts; ++e) layer.gate.emplace_back(dtype, layer.inter, layer.width, 1000 + e);
  std::mt19937 random(9);
  const auto noise = [&] { return static_cast<float>(random() % 200) / 100 - 1; };
  for (int64_t i = 0; i < experts * 2 * layer.inter; ++i) layer.up_bias.push_back(noise());
  for (int64_t i = 0; i < experts * layer.width; ++i) layer.down_bias.push_back(noise());
  return layer;
}

struct Tokens {
  Matrix x;
  int top_k;
  std::vector<int32_t> ids;     // [tokens, top_k], rising in a token
  std::vector<float> weights;
};

Tokens MakeTokens(int64_t count, int64_t width, int experts, int top_k) {
  Tokens tokens{Matrix::Random(count, width, 5, 3), top_k, {}, {}};
  std::mt19937 random(3);
  std::vector<int32_t> all(experts);
  for (int e = 0; e < experts; ++e) all[e] = e;
  for (int64_t t = 0; t < count; ++t) {
    std::shuffle(all.begin(), all.end(), random);
    std::sort(all.begin(), all.begin() + top_k);
    tokens.ids.insert(tokens.ids.end(), all.begin(), all.begin() + top_k);
    for (int k = 0; k < top_k; ++k) tokens.weights.push_back(0.1f + static_cast<float>(random() % 100) / 100);
  }
  return tokens;
}

Matrix RunExperts(Backend& backend, const Layer& layer, Tokens tokens, bool add) {
  std::vector<std::unique_ptr<PackedWeight>> packed;
  std::vector<const PackedWeight*> up, down;
  for (size_t e = 0; e < layer.up.size(); ++e) {
    const bool gated = !layer.gate.empty();
    WeightSource source{.parts = {layer.up[e].part()}, .gate_up_pair = gated};
    if (gated) source.parts.insert(source.parts.begin(), layer.gate[e].part());
    packed.push_back(PackOrDie(backend, source));
    up.push_back(packed.back().get());
    packed.push_back(PackOrDie(backend, {.parts = {layer.down[e].part()}}));
    down.push_back(packed.back().get());
  }
  Matrix y = Matrix::Random(tokens.x.rows(), layer.width, 8, 5);
  RunWalk(backend, [&](Ops& ops) {
    ops.Experts({tokens.x.view(), up, down, tokens.top_k, tokens.ids.data(), tokens.weights.data(), add, y.view(),
                 layer.epilogue, layer.up_bias.empty() ? nullptr : layer.up_bias.data(),
                 layer.down_bias.empty() ? nullptr : layer.down_bias.data()});
  });
  EXPECT_TRUE(y.gaps_intact());
  return y;
}

bool IsBlocks(DType dtype) { return BlockOf(dtype).elements > 1; }

void ExpectNear(const Matrix& got, const Matrix& wanted, double relative) {
  for (int64_t t = 0; t < got.rows(); ++t) {
    double largest = 0;
    for (int64_t j = 0; j < got.cols(); ++j) largest = std::max<double>(largest, std::abs(wanted.at(t, j)));
    for (int64_t j = 0; j < got.cols(); ++j) {
      ASSERT_NEAR(got.at(t, j), wanted.at(t, j), relative * largest) << t << ", " << j;
    }
  }
}

TEST(Experts, AgreeWithRefInEveryFormatAndShape) {
  for (DType dtype : testing::kWeightFormats) {
    const Layer layer = MakeLayer(dtype, 5, 96, 48);
    const double relative = IsBlocks(dtype) ? 0.05 : (96 + 64 + 3) * 0x1p-24 * 64;
    for (int64_t count : {0, 1, 2, 9, 70}) {
      for (int top_k : {1, 3, 5}) {
        SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " tokens ", count, " top ", top_k));
        const Tokens tokens = MakeTokens(count, layer.width, 5, top_k);
        for (bool add : {false, true}) {
          const Matrix wanted = RunExperts(*MakeRefBackend(), layer, tokens, add);
          ForEachIsa([&](const std::string& isa) { ExpectNear(RunExperts(*MakeCpu(isa, 2), layer, tokens, add), wanted, relative); });
          if (testing::Cuda() == nullptr || top_k != 3 || add != (count % 2 == 1)) continue;
          SCOPED_TRACE("cuda");
          ExpectNear(RunExperts(*testing::Cuda(), layer, tokens, add), wanted, relative);
        }
      }
    }
  }
}

TEST(Experts, GatesAndBiasesAgreeWithRef) {
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kMXFP4, DType::kQ4_0}) {
    for (Epilogue epilogue : {Epilogue::kSiluGate, Epilogue::kClampedGate}) {
      SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " epilogue ", static_cast<int>(epilogue)));
      const Layer layer = MakeGatedLayer(dtype, epilogue, 4, 96, 40);
      const Tokens tokens = MakeTokens(19, layer.width, 4, 2);
      const Matrix wanted = RunExperts(*MakeRefBackend(), layer, tokens, true);
      const Matrix bits = RunExperts(*MakeCpu("avx2", 1), layer, tokens, true);
      ForEachIsa([&](const std::string& isa) {
        const Matrix got = RunExperts(*MakeCpu(isa, 3), layer, tokens, true);
        ExpectNear(got, wanted, IsBlocks(dtype) ? 0.05 : 1e-4);
        EXPECT_TRUE(SameBits(got, bits));
      });
      if (testing::Cuda() == nullptr) continue;
      SCOPED_TRACE("cuda");
      ExpectNear(RunExperts(*testing::Cuda(), layer, tokens, true), wanted, 1e-4);
      ExpectNear(RunExperts(*testing::Cuda(Precision::kBf16), layer, tokens, true), wanted, 0.05);
    }
  }
}

TEST(Experts, OddWidthsOfPlainFormats) {
  const Layer layer = MakeLayer(DType::kBF16, 3, 19, 37);
  const Tokens tokens = MakeTokens(11, 19, 3, 2);
  const Matrix wanted = RunExperts(*MakeRefBackend(), layer, tokens, false);
  ForEachIsa([&](const std::string& isa) { ExpectNear(RunExperts(*MakeCpu(isa, 3), layer, tokens, false), wanted, 1e-3); });
  if (testing::Cuda() == nullptr) return;
  SCOPED_TRACE("cuda");
  ExpectNear(RunExperts(*testing::Cuda(), layer, tokens, false), wanted, 1e-4);
}

TEST(Experts, AllIsasGiveEqualBits) {
  for (DType dtype : testing::kWeightFormats) {
    const Layer layer = MakeLayer(dtype, 6, 96, 160);
    const Tokens tokens = MakeTokens(23, layer.width, 6, 2);
    const Matrix wanted = RunExperts(*MakeCpu("avx2", 1), layer, tokens, true);
    ForEachIsa([&](const std::string& isa) { EXPECT_TRUE(SameBits(RunExperts(*MakeCpu(isa, 3), layer, tokens, true), wanted)); });
  }
}

TEST(Experts, RowBitsDoNotDependOnCompany) {
  for (DType dtype : testing::kWeightFormats) {
    const Layer layer = MakeLayer(dtype, 4, 96, 160);
    const Tokens tokens = MakeTokens(37, layer.width, 4, 2);
    const auto backend = MakeCpu("auto", 2);
    const Matrix all = RunExperts(*backend, layer, tokens, false);
    for (int64_t t : {0, 11, 36}) {
      Tokens one{Matrix(1, layer.width), 2, {tokens.ids[2 * t], tokens.ids[2 * t + 1]}, {tokens.weights[2 * t], tokens.weights[2 * t + 1]}};
      for (int64_t j = 0; j < layer.width; ++j) one.x.at(0, j) = tokens.x.at(t, j);
      EXPECT_TRUE(SameBits(RunExperts(*backend, layer, one, false).row(0), all.row(t), layer.width)) << DTypeName(dtype) << " " << t;
    }
  }
}

}  // namespace
}  // namespace braid
