// What the tools write, packed here from the layouts' descriptions, against scale * (code - zero).
#include "models/weights/integer_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "kernels/float_types.h"
#include "kernels/linear/weight_source.h"
#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

constexpr int kRows = 72, kCols = 64, kGroups = 2;

const char* const kGptq = R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":32,"sym":false}})";
const char* const kGptqSymmetric = R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":32}})";
const char* const kGptqV2 = R"({"quantization_config":{"quant_method":"gptq","bits":8,"group_size":32,"sym":false,
    "checkpoint_format":"gptq_v2"}})";
const char* const kAwq = R"({"quantization_config":{"quant_method":"awq","bits":4,"group_size":32}})";
const char* const kCompressed = R"({"quantization_config":{"quant_method":"compressed-tensors","config_groups":{"g":
    {"weights":{"num_bits":4,"type":"int","strategy":"group","group_size":32,"symmetric":false}}}}})";
const char* const kCompressedSymmetric = R"({"quantization_config":{"quant_method":"compressed-tensors","config_groups":
    {"g":{"weights":{"num_bits":4,"type":"int","strategy":"group","group_size":32}}}}})";

// A matrix by formulas; every code and every zero that its bits allow.
struct Matrix {
  int bits = 4;
  std::function<int(int g, int n)> zero = [](int g, int n) { return (5 * n + 3 * g) % 16; };
  std::function<int(int k)> group = [](int k) { return k / 32; };
  uint16_t scale(int g, int n) const { return static_cast<uint16_t>(0x2c00 + 37 * n + g); }  // f16's 1/16 and more
  int code(int n, int k) const { return (7 * n + 11 * k + n * k) & ((1 << bits) - 1); }
  int per_word() const { return 32 / bits; }
  float weight(int n, int k) const {
    const int g = group(k);
    return ToFloat(F16{scale(g, n)}) * static_cast<float>(code(n, k) - zero(g, n));
  }
};

// `rows` rows of `words` words, whose code i is code(row, word, i); `less` is taken from each word.
std::string Words(const Matrix& m, int rows, int words, const std::function<int(int, int, int)>& code,
                  uint32_t less = 0) {
  std::string bytes;
  for (int row = 0; row < rows; ++row) {
    for (int w = 0; w < words; ++w) {
      uint32_t word = 0;
      for (int i = 0; i < m.per_word(); ++i) word |= static_cast<uint32_t>(code(row, w, i)) << i * m.bits;
      bytes += Raw(word - less);
    }
  }
  return bytes;
}

std::string Scales(const Matrix& m) {
  std::string bytes;
  for (int g = 0; g < kGroups; ++g) {
    for (int n = 0; n < kRows; ++n) bytes += Raw(m.scale(g, n));
  }
  return bytes;
}

TestTensor GroupNumbers(const std::function<int(int k)>& group) {
  std::string bytes;
  for (int k = 0; k < kCols; ++k) bytes += Raw<int32_t>(group(k));
  return {"m.x.g_idx", "I32", "[64]", bytes};
}

std::vector<TestTensor> Gptq(const Matrix& m, uint32_t less) {
  const int per = m.per_word();
  return {{"m.x.qweight", "I32", absl::StrCat("[", kCols / per, ",72]"),
           Words(m, kCols / per, kRows, [&](int w, int n, int i) { return m.code(n, w * per + i); })},
          {"m.x.qzeros", "I32", absl::StrCat("[2,", kRows / per, "]"),
           Words(m, kGroups, kRows / per, [&](int g, int w, int i) { return m.zero(g, w * per + i); }, less)},
          {"m.x.scales", "F16", "[2,72]", Scales(m)},
          GroupNumbers(m.group)};
}

std::vector<TestTensor> Awq(const Matrix& m) {
  const int order[] = {0, 2, 4, 6, 1, 3, 5, 7};
  return {{"m.x.qweight", "I32", "[64,9]",
           Words(m, kCols, kRows / 8, [&](int k, int w, int i) { return m.code(8 * w + order[i], k); })},
          {"m.x.qzeros", "I32", "[2,9]",
           Words(m, kGroups, kRows / 8, [&](int g, int w, int i) { return m.zero(g, 8 * w + order[i]); })},
          {"m.x.scales", "F16", "[2,72]", Scales(m)}};
}

std::vector<TestTensor> Compressed(const Matrix& m) {
  std::string scales;
  for (int n = 0; n < kRows; ++n) {
    for (int g = 0; g < kGroups; ++g) scales += Raw(m.scale(g, n));
  }
  return {{"m.x.weight_packed", "I32", "[72,8]",
           Words(m, kRows, kCols / 8, [&](int n, int w, int i) { return m.code(n, 8 * w + i); })},
          {"m.x.weight_zero_point", "I32", "[9,2]",
           Words(m, kRows / 8, kGroups, [&](int w, int g, int i) { return m.zero(g, 8 * w + i); })},
          {"m.x.weight_scale", "F16", "[72,2]", scales},
          {"m.x.weight_shape", "I64", "[2]", Raw<int64_t>(kRows) + Raw<int64_t>(kCols)}};
}

class Folder {
 public:
  Folder(const std::vector<TestTensor>& tensors, const std::string& config) {
    folder_.Write("config.json", config);
    folder_.Write("model.safetensors", SafetensorsOf(tensors));
    auto opened = Checkpoint::Open(folder_.path());
    CHECK(opened.ok()) << opened.status();
    checkpoint_ = *std::move(opened);
  }
  const Checkpoint& checkpoint() const { return *checkpoint_; }

  absl::StatusOr<StoredMatrix> Find(int64_t rows = kRows, int64_t cols = kCols) const {
    const WeightScope scope(*checkpoint_, "m.");
    ASSIGN_OR_RETURN(const Quantization quantization, ReadQuantization(*checkpoint_));
    StoredMatrix matrix = FindMatrix(scope, quantization, "x.weight", rows, cols);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(CheckSource({.parts = {matrix.part}, .input_order = matrix.input_order}));
    return matrix;
  }

 private:
  TestFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

// Finds the matrix, expects every weight of it to the last bit, and returns its format.
DType ExpectWeights(const std::vector<TestTensor>& tensors, const char* config, const Matrix& m,
                    bool ordered = false) {
  const Folder folder(tensors, config);
  const absl::StatusOr<StoredMatrix> matrix = folder.Find();
  EXPECT_TRUE(matrix.ok()) << matrix.status();
  if (!matrix.ok()) return DType::kF32;
  EXPECT_EQ(matrix->input_order.empty(), !ordered);
  EXPECT_TRUE(folder.checkpoint().Unread().empty());
  for (int n = 0; n < kRows; ++n) {
    float row[kCols];
    DequantizeRow(matrix->part, n, row);
    for (int k = 0; k < kCols; ++k) {
      const int input = ordered ? matrix->input_order[k] : k;
      EXPECT_EQ(row[k], m.weight(n, input)) << "row " << n << " input " << input;
    }
  }
  return matrix->part.dtype;
}

TEST(IntegerMatrix, IsWhatEachToolPacked) {
  const Matrix four;
  Matrix eight;
  eight.bits = 8;
  eight.zero = [](int g, int n) { return (37 * n + 101 * g) % 256; };
  EXPECT_EQ(ExpectWeights(Gptq(four, 0x11111111), kGptq, four), DType::kInt4);
  EXPECT_EQ(ExpectWeights(Gptq(eight, 0), kGptqV2, eight), DType::kInt8);
  EXPECT_EQ(ExpectWeights(Awq(four), kAwq, four), DType::kInt4);
  EXPECT_EQ(ExpectWeights(Compressed(four), kCompressed, four), DType::kInt4);
}

TEST(IntegerMatrix, NeedsNoZerosWhereTheyAreTheMiddle) {
  Matrix four, eight;
  four.zero = [](int, int) { return 8; };
  eight.bits = 8;
  eight.zero = [](int, int) { return 128; };
  const std::string eight_bits = R"({"quantization_config":{"quant_method":"gptq","bits":8,"group_size":32}})";
  EXPECT_EQ(ExpectWeights(Gptq(four, 0x11111111), kGptqSymmetric, four), DType::kQ4_0);
  EXPECT_EQ(ExpectWeights(Gptq(four, 0), kGptqSymmetric, four), DType::kQ4_0) << "zeros stored as they are";
  EXPECT_EQ(ExpectWeights(Gptq(eight, 0x01010101), eight_bits.c_str(), eight), DType::kQ8_0);
  std::vector<TestTensor> compressed = Compressed(four);
  compressed.erase(compressed.begin() + 1);
  EXPECT_EQ(ExpectWeights(compressed, kCompressedSymmetric, four), DType::kQ4_0);
  const Matrix other;
  EXPECT_EQ(ExpectWeights(Gptq(other, 0x11111111), kGptqSymmetric, other), DType::kInt4) << "zeros are as they are";
}

TEST(IntegerMatrix, OrdersInputsByTheirGroup) {
  Matrix m;
  m.group = [](int k) { return 5 * k % 64 / 32; };
  EXPECT_EQ(ExpectWeights(Gptq(m, 0x11111111), kGptq, m, true), DType::kInt4);
  Matrix last_first;
  last_first.group = [](int k) { return 1 - k / 32; };
  ExpectWeights(Gptq(last_first, 0x11111111), kGptq, last_first, true);
}

TEST(IntegerMatrix, GroupsNeighboursWithoutNumbers) {
  const Matrix m;
  std::vector<TestTensor> tensors = Gptq(m, 0x11111111);
  tensors.back() = GroupNumbers([](int) { return 0; });
  ExpectWeights(tensors, kGptq, m);
  tensors.pop_back();
  ExpectWeights(tensors, kGptq, m);
  // A layer's own group size.
  ExpectWeights(tensors, R"({"quantization_config":{"quant_method":"gptq","bits":4,"group_size":-1,"sym":false}})", m);
}

TEST(IntegerMatrix, TakesBf16Scales) {
  const Matrix m;
  std::vector<TestTensor> tensors = Awq(m);
  tensors[2].dtype = "BF16";
  tensors[2].bytes.clear();
  for (int i = 0; i < kGroups * kRows; ++i) tensors[2].bytes += Raw(ToBf16(0.015625f).bits);
  const auto matrix = Folder(tensors, kAwq).Find();
  ASSERT_TRUE(matrix.ok()) << matrix.status();
  float row[kCols];
  DequantizeRow(matrix->part, 3, row);
  EXPECT_EQ(row[5], 0.015625f * static_cast<float>(m.code(3, 5) - m.zero(0, 3)));
}

TEST(IntegerMatrix, NamesTheTensorThatIsWrong) {
  const Matrix m;
  const std::vector<TestTensor> gptq = Gptq(m, 0x11111111), awq = Awq(m), compressed = Compressed(m);
  const auto with = [](std::vector<TestTensor> tensors, int index, const TestTensor& instead) {
    tensors[index] = instead;
    return tensors;
  };
  const auto numbers = [&](int at, int value) {
    return with(gptq, 3, GroupNumbers([=](int k) { return k == at ? value : k / 32; }));
  };
  const TestTensor none = {"other", "U8", "[1]", "x"};
  const struct {
    std::vector<TestTensor> tensors;
    const char* config;
    const char* message;
    int64_t cols = kCols;
  } cases[] = {
      {gptq, "{}", "m.x.qweight: holds packed integers; want quantization_config"},
      {gptq, kCompressed, "m.x.qweight: holds packed integers"},
      {compressed, kGptq, "m.x.weight_packed: holds packed integers"},
      {gptq, kAwq, "m.x.qweight: has shape [8, 72], want [64, 9]"},
      {awq, kGptq, "m.x.qweight: has shape [64, 9], want [8, 72] or [16, 72]"},
      {gptq, kGptq, "m.x.qweight: has shape [8, 72], want [12, 72] or [24, 72]", 96},
      {with(gptq, 0, {"m.x.qweight", "F32", "[8,72]", gptq[0].bytes}), kGptq, "m.x.qweight: has type F32, want I32"},
      {gptq, kGptqV2, "m.x: is stored as INT4"},
      {with(gptq, 1, none), kGptq, "m.x.qzeros: is missing"},
      {with(gptq, 1, {"m.x.qzeros", "I32", "[1,9]", std::string(36, 'x')}), kGptq,
       "m.x.qzeros: has shape [1, 9], want [2, 9]"},
      {with(gptq, 2, none), kGptq, "m.x.scales: is missing"},
      {with(gptq, 2, {"m.x.scales", "F32", "[2,72]", std::string(576, 'x')}), kGptq,
       "m.x.scales: has type F32, want F16 or BF16"},
      {with(gptq, 2, {"m.x.scales", "F16", "[2,71]", std::string(284, 'x')}), kGptq,
       "m.x.scales: has shape [2, 71], want [groups, 72]"},
      {with(gptq, 2, {"m.x.scales", "F16", "[0,72]", ""}), kGptq, "m.x.scales: has shape [0, 72]"},
      {with(gptq, 3, {"m.x.g_idx", "I32", "[32]", std::string(128, '\0')}), kGptq,
       "m.x.g_idx: has shape [32], want [64]"},
      {with(gptq, 3, {"m.x.g_idx", "I64", "[64]", std::string(512, '\0')}), kGptq, "m.x.g_idx: has type I64"},
      {numbers(7, 2), kGptq, "m.x.g_idx: is 2 at input 7, want 0..1"},
      {numbers(9, -1), kGptq, "m.x.g_idx: is -1 at input 9"},
      {numbers(9, 1), kGptq, "m.x.scales: group 0 has 31 inputs, want a multiple of 32"},
      {with(compressed, 2, {"m.x.weight_scale", "F16", "[72]", std::string(144, 'x')}), kCompressed,
       "m.x.weight_scale: has shape [72], want [72, groups]"},
      {with(compressed, 1, none), kCompressed, "m.x.weight_zero_point: is missing"},
  };
  for (const auto& c : cases) {
    const auto matrix = Folder(c.tensors, c.config).Find(kRows, c.cols);
    ASSERT_FALSE(matrix.ok()) << c.message;
    EXPECT_THAT(matrix.status().message(), HasSubstr(c.message));
  }
}

TEST(IntegerMatrix, RefusesScalesThatAreNotFinite) {
  std::vector<TestTensor> tensors = Awq(Matrix());
  tensors[2].bytes.replace(2 * (72 + 5), 2, Raw<uint16_t>(0x7c00));
  EXPECT_THAT(Folder(tensors, kAwq).Find().status().message(), HasSubstr("scale of INT4 block 1 in weight row 5"));
}

// Whatever types, shapes and numbers are mixed up: an answer or an error.
TEST(IntegerMatrix, SurvivesRandomTensors) {
  const char* const configs[] = {kGptq, kGptqSymmetric, kGptqV2, kAwq, kCompressed, kCompressedSymmetric};
  const Matrix m;
  std::mt19937 random(7);
  int found = 0;
  for (int round = 0; round < 2000; ++round) {
    const int tool = static_cast<int>(random() % 3);
    std::vector<TestTensor> tensors = tool == 0 ? Gptq(m, 0) : tool == 1 ? Awq(m) : Compressed(m);
    TestTensor& spoilt = tensors[random() % tensors.size()];
    for (int i = 0; i < 4; ++i) spoilt.bytes[random() % spoilt.bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) {
      spoilt.dtype = random() % 2 == 0 ? "U8" : "I8";
      spoilt.shape = absl::StrCat("[", spoilt.bytes.size(), "]");
    }
    if (random() % 8 == 0) tensors.erase(tensors.begin() + static_cast<int>(random() % tensors.size()));
    found += Folder(tensors, configs[random() % 6]).Find().ok();
  }
  EXPECT_GT(found, 100);
}

TEST(IntegerMatrix, IsCountedWithItsScalesAndZeros) {
  for (const auto& [tensors, config] : {std::pair(Gptq(Matrix(), 0), kGptq), std::pair(Awq(Matrix()), kAwq),
                                        std::pair(Compressed(Matrix()), kCompressed)}) {
    const std::vector<FormatBytes> formats = BytesByFormat(Folder(tensors, config).checkpoint());
    ASSERT_EQ(formats.size(), 1u);
    int64_t bytes = 0;
    for (const TestTensor& tensor : tensors) bytes += static_cast<int64_t>(tensor.bytes.size());
    EXPECT_EQ(formats[0].format, "INT4");
    EXPECT_EQ(formats[0].bytes, bytes);
    EXPECT_EQ(formats[0].parameters, kRows * kCols);
  }
}

}  // namespace
}  // namespace braid
