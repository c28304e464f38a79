// Every instruction set and CUDA against ref. An output's error is bounded from K, the formats and the operands:
//   f32 sums:          (K + 2) 2^-24 sum_k |x_k w_k|
//   16-bit activations: sum over blocks of 32 of (max|x| / 65024) sum_k |w_k|, where the weight is of a block format;
//                      codes times scale and the minimum's term are sums of their own: |w| is scale * code + |min|
// and carried through the epilogue by its largest slope.
#include "kernels/linear/linear.h"

#include <algorithm>
#include <numeric>

#include "kernels/linear/weight_source.h"
#include "kernels/testing/op_test.h"

namespace braid {
namespace {

using testing::ColsFor;
using testing::ForEachIsa;
using testing::MakeCpu;
using testing::Matrix;
using testing::PackOrDie;
using testing::RunWalk;
using testing::SameBits;
using testing::StoredWeight;

struct Shape3 {
  int64_t tokens, out, in;
};
constexpr Shape3 kShapes[] = {{0, 16, 32}, {1, 1, 32},   {1, 16, 32},   {1, 40, 96},  {2, 17, 64},  {3, 33, 32},
                              {5, 7, 160}, {8, 64, 64},  {9, 48, 1056}, {13, 80, 96}, {37, 31, 64}, {65, 130, 128},
                              {131, 5, 64}};

// Bounds the error of the product of `x` and one row of `part`.
double ErrorBound(const WeightPart& part, int64_t row, const float* x) {
  std::vector<float> w(part.cols);
  DequantizeRow(part, row, w.data());
  const bool blocks = IsBlockFormat(part.dtype);
  // A code's term and a minimum's term may cancel in w: each is at most 16 scales, or 128 of Q8_0.
  double sum = 0, rounding = 0;
  for (int64_t begin = 0; begin < part.cols; begin += 32) {
    const int64_t end = std::min(part.cols, begin + 32);
    double largest = 0, weights = 0, spread = 0;
    for (int64_t k = begin; k < end; ++k) {
      largest = std::max<double>(largest, std::abs(x[k]));
      weights += std::abs(w[k]);
      spread = std::max<double>(spread, std::abs(w[k]));
    }
    for (int64_t k = begin; k < end; ++k) sum += std::abs(double{x[k]}) * (blocks ? 3 * spread : std::abs(w[k]));
    if (blocks) rounding += largest / 65024 * weights * 1.001 + largest * 3 * spread * 32 * 0x1p-22;
  }
  return rounding + static_cast<double>(part.cols + 2) * 0x1p-24 * sum + 1e-30;
}

struct Weight {
  std::vector<StoredWeight> stored;
  bool pair = false;
  std::vector<int32_t> input_order = {};
  WeightSource source() const {
    WeightSource source{.gate_up_pair = pair, .input_order = input_order};
    for (const StoredWeight& one : stored) source.parts.push_back(one.part());
    return source;
  }
  double Bound(int64_t row, const float* x) const {
    for (const StoredWeight& one : stored) {
      if (row < one.part().rows) return ErrorBound(one.part(), row, x);
      row -= one.part().rows;
    }
    return 0;
  }
};

struct Case {
  Weight weight;
  Matrix x;
  Epilogue epilogue = Epilogue::kStore;
  std::vector<float> bias;
  Matrix y;  // before
};

Matrix RunLinear(Backend& backend, const Case& c) {
  Matrix x = c.x, y = c.y;
  const auto packed = PackOrDie(backend, c.weight.source());
  RunWalk(backend, [&](Ops& ops) {
    ops.Linear({x.view(), packed.get(), c.bias.empty() ? nullptr : c.bias.data(), c.epilogue, y.view()});
  });
  EXPECT_TRUE(y.gaps_intact());
  return y;
}

Case MakeCase(const Weight& weight, int64_t tokens, int64_t in, int64_t out, Epilogue epilogue, bool bias) {
  Case c{weight, Matrix::Random(tokens, in, 7, 3), epilogue, {}, Matrix::Random(tokens, out, 9, 5)};
  std::mt19937 random(11);
  if (bias) c.bias.resize(out);
  for (float& b : c.bias) b = std::normal_distribution<float>()(random);
  return c;
}

// The tolerance of y[t, j] from those of the products behind it, given ref's values of them.
double Tolerance(const Case& c, const Matrix& plain, int64_t t, int64_t j) {
  const double bound = c.weight.Bound(j, c.x.row(t));
  const double v = plain.at(t, j);
  if (c.epilogue == Epilogue::kRelu2) return 2 * std::abs(v) * bound + bound * bound + 1e-6 * v * v;
  if (c.epilogue == Epilogue::kGelu) return 1.2 * bound + 1e-6 * (1 + std::abs(v));
  if (!IsGated(c.epilogue)) return bound + 1e-6 * (std::abs(v) + std::abs(c.y.at(t, j)));
  const double up = plain.at(t, j + c.y.cols()), up_bound = c.weight.Bound(j + c.y.cols(), c.x.row(t));
  if (c.epilogue == Epilogue::kClampedGate) {  // the gate's slope is below 1.2, of its value and of up + 1 too
    return 1.2 * bound * 8 + 7 * up_bound + 1e-5 * 56;
  }
  return 1.1 * bound * (std::abs(up) + up_bound) + std::abs(v) * up_bound + 1e-5 * (1 + std::abs(v * up));
}

void ExpectNearRef(const Case& c) {
  const auto ref = MakeRefBackend();
  const Matrix wanted = RunLinear(*ref, c);
  Case plain_case = c;
  plain_case.epilogue = Epilogue::kStore;
  plain_case.y = Matrix(c.x.rows(), TotalRows(c.weight.source()));
  plain_case.weight.pair = false;
  const Matrix plain = RunLinear(*ref, plain_case);
  const auto expect_near = [&](const Matrix& got) {
    for (int64_t t = 0; t < got.rows(); ++t) {
      for (int64_t j = 0; j < got.cols(); ++j) {
        ASSERT_NEAR(got.at(t, j), wanted.at(t, j), Tolerance(c, plain, t, j)) << "row " << t << " column " << j;
      }
    }
  };
  ForEachIsa([&](const std::string& isa) { expect_near(RunLinear(*MakeCpu(isa, 2), c)); });
  if (testing::Cuda() == nullptr) return;
  SCOPED_TRACE("cuda");
  expect_near(RunLinear(*testing::Cuda(), c));
}

TEST(Linear, AgreesWithRefInEveryFormatAndShape) {
  for (DType dtype : testing::kWeightFormats) {
    for (const Shape3& s : kShapes) {
      const int64_t in = ColsFor(dtype, s.in);
      SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " ", s.tokens, "x", in, " to ", s.out));
      ExpectNearRef(MakeCase({{StoredWeight(dtype, s.out, in, 1)}}, s.tokens, in, s.out, Epilogue::kStore, false));
    }
  }
}

// Long inputs of few rows, which blocks of CUDA divide among each other.
TEST(Linear, AgreesWithRefAtLongInputs) {
  constexpr Shape3 kLong[] = {{3, 40, 2304}, {20, 70, 768}, {130, 33, 512}};
  for (DType dtype : {DType::kF32, DType::kBF16, DType::kF8E4M3, DType::kQ4_K}) {
    for (const Shape3& s : kLong) {
      SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " ", s.tokens, "x", s.in, " to ", s.out));
      ExpectNearRef(MakeCase({{StoredWeight(dtype, s.out, s.in, 1)}}, s.tokens, s.in, s.out, Epilogue::kAdd, true));
      const Weight pair{{StoredWeight(dtype, s.out, s.in, 3), StoredWeight(dtype, s.out, s.in, 4)}, true};
      ExpectNearRef(MakeCase(pair, s.tokens, s.in, s.out, Epilogue::kClampedGate, false));
    }
  }
}

// Inputs and weights are rounded to bf16, 2^-9 each; the minimum of a block may cancel most of its weight.
TEST(Linear, Bf16ProductsOnCudaAreOffByTheirRounding) {
  if (testing::Cuda(Precision::kBf16) == nullptr) GTEST_SKIP() << "no CUDA device";
  for (DType dtype : testing::kWeightFormats) {
    for (int64_t tokens : {1, 20, 131}) {
      SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " ", tokens));
      const int64_t in = ColsFor(dtype, 160);
      const Case c = MakeCase({{StoredWeight(dtype, 70, in, 1)}}, tokens, in, 70, Epilogue::kStore, false);
      const Matrix wanted = RunLinear(*MakeRefBackend(), c), got = RunLinear(*testing::Cuda(Precision::kBf16), c);
      const WeightPart part = c.weight.stored[0].part();
      std::vector<float> w(in);
      double largest_error = 0;
      for (int64_t j = 0; j < 70; ++j) {
        DequantizeRow(part, j, w.data());
        for (int64_t t = 0; t < tokens; ++t) {
          double sum = 0;
          for (int64_t k = 0; k < in; ++k) sum += std::abs(double{c.x.at(t, k)} * w[k]);
          ASSERT_NEAR(got.at(t, j), wanted.at(t, j), 0x1.04p-8 * sum) << "row " << t << " column " << j;
          largest_error = std::max(largest_error, std::abs(double{got.at(t, j)} - wanted.at(t, j)) / (sum + 1e-30));
        }
      }
      EXPECT_GT(largest_error, 0x1p-20) << "nothing was rounded";
    }
  }
}

TEST(Linear, AgreesWithRefAtInputsThatAreNoMultipleOf32) {
  for (DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kF8E4M3}) {
    for (int64_t in : {0, 1, 3, 33, 513, 1025}) {
      SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " ", in));
      ExpectNearRef(MakeCase({{StoredWeight(dtype, 35, in, 1)}}, 5, in, 35, Epilogue::kStore, false));
    }
  }
}

TEST(Linear, AgreesWithRefInEveryScaleBlockOfFp8) {
  const testing::ScaleBlock blocks[] = {{0, 0}, {1, 1000}, {128, 128}, {16, 32}, {7, 256}, {50, 512}, {100, 4096}};
  for (const testing::ScaleBlock& block : blocks) {
    for (int64_t tokens : {1, 2, 7}) {
      SCOPED_TRACE(absl::StrCat("scales of ", block.rows, "x", block.cols, " tokens ", tokens));
      ExpectNearRef(
          MakeCase({{StoredWeight(DType::kF8E4M3, 150, 1000, 1, block)}}, tokens, 1000, 150, Epilogue::kStore, false));
    }
  }
}

TEST(Linear, AgreesWithRefWhereNvFp4EndsInHalfABlock) {
  for (int64_t in : {16, 48, 80, 1040}) {
    SCOPED_TRACE(in);
    ExpectNearRef(MakeCase({{StoredWeight(DType::kNVFP4, 35, in, 1)}}, 5, in, 35, Epilogue::kStore, false));
  }
}

TEST(Linear, AgreesWithRefInEveryEpilogue) {
  for (DType dtype : testing::kWeightFormats) {
    for (Epilogue epilogue : {Epilogue::kStore, Epilogue::kAdd, Epilogue::kRelu2, Epilogue::kGelu}) {
      for (bool bias : {false, true}) {
        SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " epilogue ", static_cast<int>(epilogue), " bias ", bias));
        const int64_t in = ColsFor(dtype, 64);
        ExpectNearRef(MakeCase({{StoredWeight(dtype, 37, in, 2)}}, 11, in, 37, epilogue, bias));
      }
    }
  }
}

TEST(Linear, GatesPairsOfEqualAndUnequalFormats) {
  for (DType gate : testing::kWeightFormats) {
    for (DType up : {gate, DType::kQ4_1, DType::kF32}) {
      for (int64_t tokens : {1, 10}) {
        SCOPED_TRACE(absl::StrCat(DTypeName(gate), " ", DTypeName(up), " ", tokens));
        const int64_t in = ColsFor(gate, 64);
        const Weight weight{{StoredWeight(gate, 85, in, 3), StoredWeight(up, 85, in, 4)}, true};
        ExpectNearRef(MakeCase(weight, tokens, in, 85, Epilogue::kSiluGate, false));
        ExpectNearRef(MakeCase(weight, tokens, in, 85, Epilogue::kClampedGate, false));
      }
    }
  }
}

TEST(Linear, StacksPartsOfSeveralFormatsAndOddRows) {
  const Weight weight{{StoredWeight(DType::kQ4_1, 20, 64, 3), StoredWeight(DType::kQ8_0, 7, 64, 4),
                       StoredWeight(DType::kBF16, 40, 64, 5), StoredWeight(DType::kF32, 0, 64, 6),
                       StoredWeight(DType::kQ4_0, 16, 64, 7), StoredWeight(DType::kF8E4M3, 21, 64, 8),
                       StoredWeight(DType::kNVFP4, 5, 64, 9)}};
  for (int64_t tokens : {1, 3, 20}) ExpectNearRef(MakeCase(weight, tokens, 64, 109, Epilogue::kAdd, true));
}

std::vector<int32_t> RandomOrder(int64_t cols) {
  std::vector<int32_t> order(cols);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(17));
  return order;
}

// The bound of the ordered inputs: what a row is quantized by.
TEST(Linear, GathersTheInputsOfWeightsThatAreOrdered) {
  for (DType dtype : {DType::kQ4_0, DType::kInt4, DType::kInt8, DType::kQ4_K}) {
    for (int64_t tokens : {1, 2, 3, 20, 131}) {
      SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " ", tokens));
      const int64_t in = ColsFor(dtype, 160);
      const Weight plain{{StoredWeight(dtype, 37, in, 3)}};
      const Weight pair{{StoredWeight(dtype, 37, in, 3), StoredWeight(dtype, 37, in, 4)}, true};
      for (const Weight& weight : {plain, pair}) {
        Weight ordered = weight;
        ordered.input_order = RandomOrder(in);
        const Epilogue epilogue = weight.pair ? Epilogue::kSiluGate : Epilogue::kAdd;
        const Case c = MakeCase(ordered, tokens, in, 37, epilogue, !weight.pair);
        // The same product: its inputs gathered beforehand, its weight in its own order.
        Case gathered = c;
        gathered.weight.input_order.clear();
        for (int64_t t = 0; t < tokens; ++t) {
          for (int64_t k = 0; k < in; ++k) gathered.x.at(t, k) = c.x.at(t, ordered.input_order[k]);
        }
        const auto cpu = MakeCpu("auto", 3);
        for (Backend* backend : {cpu.get(), testing::Cuda()}) {
          if (backend == nullptr) continue;
          EXPECT_TRUE(SameBits(RunLinear(*backend, c), RunLinear(*backend, gathered))) << backend->Name();
        }
        ExpectNearRef(gathered);
        const Matrix a = RunLinear(*MakeRefBackend(), c), b = RunLinear(*MakeRefBackend(), gathered);
        for (int64_t t = 0; t < tokens; ++t) {
          for (int64_t j = 0; j < 37; ++j) ASSERT_NEAR(a.at(t, j), b.at(t, j), 1e-4 * (1 + std::abs(b.at(t, j))));
        }
      }
    }
  }
}

// All cases of the bit tests: every format, a mixture and a pair.
std::vector<Case> BitCases(int64_t tokens) {
  std::vector<Case> cases;
  for (DType dtype : testing::kWeightFormats) {
    const int64_t in = ColsFor(dtype, dtype == DType::kNVFP4 ? 1072 : 1088), small = ColsFor(dtype, 64);
    cases.push_back(MakeCase({{StoredWeight(dtype, 165, in, 1)}}, tokens, in, 165, Epilogue::kAdd, true));
    const Weight pair{{StoredWeight(dtype, 85, small, 3), StoredWeight(dtype, 85, small, 4)}, true};
    cases.push_back(MakeCase(pair, tokens, small, 85, Epilogue::kSiluGate, false));
    cases.push_back(MakeCase(pair, tokens, small, 85, Epilogue::kClampedGate, false));
    cases.push_back(MakeCase({{StoredWeight(dtype, 165, small, 1)}}, tokens, small, 165, Epilogue::kGelu, true));
  }
  return cases;
}

TEST(Linear, AllIsasGiveEqualBits) {
  for (int64_t tokens : {1, 37}) {
    for (const Case& c : BitCases(tokens)) {
      SCOPED_TRACE(DTypeName(c.weight.stored[0].part().dtype));
      const Matrix wanted = RunLinear(*MakeCpu("avx2", 1), c);
      ForEachIsa([&](const std::string& isa) { EXPECT_TRUE(SameBits(RunLinear(*MakeCpu(isa, 1), c), wanted)); });
    }
  }
}

TEST(Linear, RowBitsDoNotDependOnCompany) {
  for (const Case& c : BitCases(141)) {
    SCOPED_TRACE(DTypeName(c.weight.stored[0].part().dtype));
    ForEachIsa([&](const std::string& isa) {
      const auto backend = MakeCpu(isa, 1);
      const Matrix all = RunLinear(*backend, c);
      EXPECT_TRUE(SameBits(RunLinear(*MakeCpu(isa, 3), c), all)) << "3 threads";
      EXPECT_TRUE(SameBits(RunLinear(*MakeCpu(isa, 4), c), all)) << "4 threads";
      const auto packed = PackOrDie(*backend, c.weight.source());
      for (int64_t count : {1, 2, 37}) {
        for (int64_t first : {0, 5, 100}) {
          Matrix x = c.x, y = c.y;
          TensorView some_x = x.row_view(first), some_y = y.row_view(first);
          some_x.rows = some_y.rows = count;
          RunWalk(*backend, [&](Ops& ops) {
            ops.Linear({some_x, packed.get(), c.bias.empty() ? nullptr : c.bias.data(), c.epilogue, some_y});
          });
          for (int64_t i = first; i < first + count; ++i) EXPECT_TRUE(SameBits(y.row(i), all.row(i), y.cols())) << i;
        }
      }
    });
  }
}

// All codes of a block alike, its scales as they were.
void SetCodes(DType dtype, int byte, std::byte* block) {
  std::byte whole[256];
  std::memcpy(whole, block, BlockOf(dtype).bytes);
  std::memset(block, byte, BlockOf(dtype).bytes);
  const auto keep = [&](int begin, int count) { std::memcpy(block + begin, whole + begin, count); };
  switch (dtype) {
    case DType::kNVFP4:
    case DType::kMXFP4: return;
    case DType::kQ2_K: keep(0, 16); return keep(80, 4);
    case DType::kQ3_K: return keep(96, 14);
    case DType::kQ4_K:
    case DType::kQ5_K: return keep(0, 16);
    case DType::kQ6_K: return keep(192, 18);
    case DType::kMXFP4Blocks: return keep(0, 1);
    case DType::kInt4:
    case DType::kInt8: return keep(0, 3);
    default: return keep(0, dtype == DType::kQ4_1 || dtype == DType::kQ5_1 ? 4 : 2);
  }
}

TEST(Linear, ExtremeCodesDoNotSaturate) {
  for (DType dtype : testing::kWeightFormats) {
    if (!IsBlockFormat(dtype)) continue;
    for (int byte : {0x00, 0x77, 0x7f, 0x80, 0xff}) {
      SCOPED_TRACE(absl::StrCat(DTypeName(dtype), " ", byte));
      const int64_t in = ColsFor(dtype, 64), bytes = DTypeBytes(dtype, 16 * in);
      StoredWeight stored(dtype, 16, in, 1);
      for (int64_t at = 0; at < bytes; at += BlockOf(dtype).bytes) SetCodes(dtype, byte, stored.data() + at);
      Case c = MakeCase({{stored}}, 2, in, 16, Epilogue::kStore, false);
      for (int64_t k = 0; k < in; ++k) {
        c.x.at(0, k) = 1.0f;
        c.x.at(1, k) = -1.0f;
      }
      ExpectNearRef(c);
    }
  }
}

TEST(Linear, NonFiniteInputsGiveNonFiniteOutputsOfTheirRowOnly) {
  for (DType dtype : testing::kWeightFormats) {
    for (float bad : {INFINITY, -INFINITY, NAN}) {
      for (Epilogue epilogue : {Epilogue::kStore, Epilogue::kRelu2}) {
        const int64_t in = ColsFor(dtype, 64);
        const Case c = MakeCase({{StoredWeight(dtype, 16, in, 1)}}, 3, in, 16, epilogue, false);
        Case spoilt = c;
        for (int64_t k = 0; k < in; ++k) spoilt.x.at(1, k) = k % 2 == 0 ? bad : 1.0f;
        const auto cpu = MakeCpu("auto", 1);
        for (Backend* backend : {cpu.get(), testing::Cuda()}) {
          if (backend == nullptr) continue;
          SCOPED_TRACE(absl::StrCat(backend->Name(), " ", DTypeName(dtype)));
          const Matrix sound = RunLinear(*backend, c), got = RunLinear(*backend, spoilt);
          EXPECT_TRUE(SameBits(got.row(0), sound.row(0), 16));
          EXPECT_TRUE(SameBits(got.row(2), sound.row(2), 16));
          if (std::isnan(bad) || IsBlockFormat(dtype)) {
            EXPECT_TRUE(std::isnan(got.at(1, 3)));
          }
        }
      }
    }
  }
}

class PackTest : public ::testing::Test {
 protected:
  // Expects both backends to refuse `source` with a message that has `word`.
  void ExpectRefused(const WeightSource& source, const std::string& word) {
    for (Backend* backend : {ref_.get(), cpu_.get(), testing::Cuda()}) {
      if (backend == nullptr) continue;
      const auto packed = backend->Pack(source);
      ASSERT_FALSE(packed.ok());
      EXPECT_EQ(packed.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_NE(packed.status().message().find(word), std::string::npos) << packed.status();
    }
  }
  std::unique_ptr<Backend> ref_ = MakeRefBackend(), cpu_ = MakeCpu("auto", 1);
};

TEST_F(PackTest, RefusesScalesThatAreNotFinite) {
  const struct {
    DType dtype;
    int offset;  // of an f16
  } cases[] = {{DType::kQ8_0, 0}, {DType::kQ4_0, 0},  {DType::kQ4_1, 2}, {DType::kQ5_0, 0},   {DType::kQ5_1, 2},
               {DType::kIQ4_NL, 0}, {DType::kQ2_K, 82}, {DType::kQ3_K, 108}, {DType::kQ4_K, 2}, {DType::kQ5_K, 0},
               {DType::kQ6_K, 208}, {DType::kInt4, 0}, {DType::kInt8, 0}};
  for (const auto& [dtype, offset] : cases) {
    const DTypeBlock block = BlockOf(dtype);
    StoredWeight stored(dtype, 2, 2 * block.elements, 1);
    const uint16_t infinity = 0x7c00;
    std::memcpy(stored.data() + 3 * block.bytes + offset, &infinity, 2);
    ExpectRefused({.parts = {stored.part()}}, absl::StrCat("scale of ", DTypeName(dtype), " block 1 in weight row 1"));
  }
  StoredWeight blocks(DType::kMXFP4Blocks, 2, 64, 1);
  blocks.data()[3 * 17] = std::byte{0xff};
  ExpectRefused({.parts = {blocks.part()}}, "scale of MXFP4 block 1 in weight row 1");
}

TEST_F(PackTest, RefusesBadScalesBesideCodes) {
  for (DType dtype : {DType::kF8E4M3, DType::kNVFP4, DType::kMXFP4}) {
    const StoredWeight stored(dtype, 4, 64, 1);
    WeightPart part = stored.part();
    std::vector<std::byte> scales(part.scales.bytes.begin(), part.scales.bytes.end());
    part.scales.bytes = scales;
    const size_t size = BlockOf(part.scales.dtype).bytes;
    for (size_t i = 0; i < size; ++i) scales[size + i] = std::byte{0xff};
    ExpectRefused({.parts = {part}}, "scale 1 of");
    part = stored.part();
    part.scales.global = INFINITY;
    ExpectRefused({.parts = {part}}, "scale of the whole weight is inf");
    part = stored.part();
    part.scales.bytes = part.scales.bytes.first(3);
    ExpectRefused({.parts = {part}}, "have 3 bytes");
    part = stored.part();
    part.scales.dtype = DType::kI8;
    ExpectRefused({.parts = {part}}, "I8 scales");
    part = stored.part();
    part.scales.block_cols = 48;
    ExpectRefused({.parts = {part}}, "wants");
  }
}

TEST_F(PackTest, RefusesFp8CodesThatAreNoNumbers) {
  StoredWeight stored(DType::kF8E4M3, 4, 40, 1);
  stored.data()[45] = std::byte{0xff};
  ExpectRefused({.parts = {stored.part()}}, "row 1, column 5 is no number");
}

TEST_F(PackTest, RefusesFormatsWithoutAKernel) {
  const std::vector<std::byte> bytes(64 * 8);
  ExpectRefused({.parts = {{DType::kF64, 1, 64, bytes}}}, "F64");
}

TEST_F(PackTest, RefusesOrdersThatAreNoPermutation) {
  const StoredWeight blocks(DType::kInt4, 2, 32, 1), floats(DType::kF32, 2, 32, 1);
  const std::vector<int32_t> order = RandomOrder(32);
  const auto with = [&](size_t at, int32_t value) {
    std::vector<int32_t> wrong = order;
    wrong[at] = value;
    return wrong;
  };
  ExpectRefused({.parts = {floats.part()}, .input_order = order}, "F32 with an order");
  ExpectRefused({.parts = {blocks.part()}, .input_order = {0, 1}}, "has 2 numbers for 32 columns");
  ExpectRefused({.parts = {blocks.part()}, .input_order = with(3, 32)}, "repeats or lacks 32");
  ExpectRefused({.parts = {blocks.part()}, .input_order = with(3, -1)}, "repeats or lacks -1");
  ExpectRefused({.parts = {blocks.part()}, .input_order = with(3, order[4])}, "repeats or lacks");
}

TEST_F(PackTest, RefusesWrongShapes) {
  const StoredWeight a(DType::kF32, 2, 32, 1), b(DType::kF32, 2, 64, 1), c(DType::kF32, 3, 32, 1);
  ExpectRefused({.parts = {}}, "no parts");
  ExpectRefused({.parts = {a.part(), b.part()}}, "32 and 64 columns");
  ExpectRefused({.parts = {a.part(), c.part()}, .gate_up_pair = true}, "equal rows");
  WeightPart part = a.part();
  part.bytes = part.bytes.first(100);
  ExpectRefused({.parts = {part}}, "100 bytes");
  part = {DType::kQ8_0, 1, 33, part.bytes};
  ExpectRefused({.parts = {part}}, "33 columns");
  part = {DType::kF32, int64_t{1} << 40, int64_t{1} << 40, {}};
  ExpectRefused({.parts = {part}}, "out of range");
}

TEST_F(PackTest, KeepsTheStoredPrecision) {
  const int64_t rows = 64, cols = 512;
  for (DType dtype : testing::kWeightFormats) {
    const StoredWeight stored(dtype, rows, cols, 1);
    const int64_t bytes = DTypeBytes(dtype, rows * cols) + static_cast<int64_t>(stored.part().scales.bytes.size());
    const int64_t packed = PackOrDie(*cpu_, {.parts = {stored.part()}})->bytes();
    // K formats' 6-bit factors take 8.
    const bool widened = dtype == DType::kQ3_K || dtype == DType::kQ4_K || dtype == DType::kQ5_K;
    EXPECT_GE(packed, bytes) << DTypeName(dtype);
    EXPECT_LE(packed, widened ? bytes + rows * cols / 64 : bytes) << DTypeName(dtype);
    if (testing::Cuda() == nullptr) continue;
    // NVFP4 and MXFP4 have an f32 for each row there; zeros of INT4 and INT8 take two bytes.
    const bool zeros = dtype == DType::kInt4 || dtype == DType::kInt8;
    const int64_t on_device = PackOrDie(*testing::Cuda(), {.parts = {stored.part()}})->bytes();
    EXPECT_GE(on_device, bytes) << DTypeName(dtype);
    EXPECT_LE(on_device, bytes + (widened ? rows * cols / 64 : zeros ? rows * cols / 32 : 4 * rows)) << DTypeName(dtype);
  }
}

}  // namespace
}  // namespace braid
