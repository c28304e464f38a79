#include "models/weights/stored_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "kernels/backend.h"
#include "kernels/linear/weight_source.h"
#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

using Tensor = TestTensor;

// A folder with these tensors.
class Folder {
 public:
  explicit Folder(const std::vector<Tensor>& tensors, const std::string& config = "{}") {
    folder_.Write("config.json", config);
    folder_.Write("model.safetensors", SafetensorsOf(tensors));
    auto opened = Checkpoint::Open(folder_.path());
    CHECK(opened.ok()) << opened.status();
    checkpoint_ = *std::move(opened);
  }
  const Checkpoint& checkpoint() const { return *checkpoint_; }

  // Row 0 of X [rows, cols], or the error.
  absl::StatusOr<std::vector<float>> Row(int64_t rows, int64_t cols) const {
    const WeightScope scope(*checkpoint_, "m.");
    ASSIGN_OR_RETURN(const Quantization quantization, ReadQuantization(*checkpoint_));
    const StoredMatrix matrix = FindMatrix(scope, quantization, "x.weight", rows, cols);
    RETURN_IF_ERROR(scope.status());
    RETURN_IF_ERROR(CheckSource({.parts = {matrix.part}}));
    std::vector<float> row(cols);
    DequantizeRow(matrix.part, 0, row.data());
    return row;
  }

 private:
  TestFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

std::string Bytes(int count, uint8_t value) { return std::string(count, static_cast<char>(value)); }

constexpr uint8_t kOne = 0x38;  // E4M3's 1

TEST(StoredMatrix, ReadsFp8WithItsScales) {
  const Tensor codes = {"m.x.weight", "F8_E4M3", "[2,200]", Bytes(400, kOne)};
  const Tensor scales[] = {{"m.x.weight_scale", "F32", "[]", Raw(0.5f)},
                           {"m.x.weight_scale", "F32", "[1]", Raw(0.5f)},
                           {"m.x.weight_scale", "BF16", "[2,1]", Raw<uint16_t>(0x3f00) + Raw<uint16_t>(0x3f80)},
                           {"m.x.weight_scale", "F32", "[2]", Raw(0.5f) + Raw(1.0f)}};
  for (const Tensor& scale : scales) {
    const Folder folder({codes, scale, {"m.x.input_scale", "F32", "[]", Raw(3.0f)}});
    const auto row = folder.Row(2, 200);
    ASSERT_TRUE(row.ok()) << row.status();
    EXPECT_EQ((*row)[199], 0.5f);
    EXPECT_TRUE(folder.checkpoint().Unread().empty());
  }
  const Folder blocks({codes, {"m.x.weight_scale_inv", "F32", "[1,2]", Raw(0.5f) + Raw(2.0f)}});
  const auto row = blocks.Row(2, 200);
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ((*row)[127], 0.5f);
  EXPECT_EQ((*row)[128], 2.0f);
}

std::vector<Tensor> ModelOptNvFp4() {
  return {{"m.x.weight", "U8", "[2,16]", Bytes(32, 0x52)},           // 1, 3, 1, 3, ...
          {"m.x.weight_scale", "F8_E4M3", "[2,2]", Bytes(4, kOne)},
          {"m.x.weight_scale_2", "F32", "[]", Raw(0.25f)}};
}
std::vector<Tensor> CompressedNvFp4() {
  return {{"m.x.weight_packed", "U8", "[2,16]", Bytes(32, 0x52)},
          {"m.x.weight_scale", "F8_E4M3", "[2,2]", Bytes(4, kOne)},
          {"m.x.weight_global_scale", "F32", "[1]", Raw(4.0f)}};
}
std::vector<Tensor> MxFp4() {
  return {{"m.x.weight_packed", "U8", "[2,16]", Bytes(32, 0x52)}, {"m.x.weight_scale", "U8", "[2,1]", Bytes(2, 125)}};
}

TEST(StoredMatrix, ReadsFourBitFormatsAsTheToolsWriteThem) {
  for (const auto& tensors : {ModelOptNvFp4(), CompressedNvFp4(), MxFp4()}) {
    const auto row = Folder(tensors).Row(2, 32);
    ASSERT_TRUE(row.ok()) << row.status();
    for (int k = 0; k < 32; ++k) ASSERT_EQ((*row)[k], k % 2 == 0 ? 0.25f : 0.75f) << k;
  }
}

TEST(StoredMatrix, TakesExpertsOutOfStacks) {
  const Folder folder({{"m.down_blocks", "U8", "[2,3,1,16]", Bytes(48, 0x22) + Bytes(48, 0x55)},
                       {"m.down_scales", "U8", "[2,3,1]", Bytes(6, 127)}});
  const WeightScope scope(folder.checkpoint(), "m.");
  const StoredMatrix matrix = FindExpert(scope, {}, "down", 1, 2, 3, 32);
  ASSERT_TRUE(scope.status().ok()) << scope.status();
  std::vector<float> row(32);
  DequantizeRow(matrix.part, 2, row.data());
  EXPECT_EQ(row[31], 3.0f);
  EXPECT_EQ(matrix.tensors[0].bytes.size(), 48u);
}

struct Bad {
  std::vector<Tensor> tensors;
  const char* message;
  int64_t cols = 32;
};

TEST(StoredMatrix, NamesTheTensorThatIsMissingOrWrong) {
  const Tensor fp8 = {"m.x.weight", "F8_E4M3", "[2,32]", Bytes(64, kOne)};
  const auto nvfp4 = [](int index, const Tensor& instead) {
    std::vector<Tensor> tensors = ModelOptNvFp4();
    tensors[index] = instead;
    return tensors;
  };
  const Tensor none = {"other", "U8", "[1]", "x"};
  std::vector<Tensor> infinite = CompressedNvFp4(), zero = CompressedNvFp4(), awq = CompressedNvFp4();
  infinite[2].bytes = Raw(INFINITY);
  zero[2].bytes = Raw(0.0f);
  awq.push_back({"m.x.pre_quant_scale", "F32", "[1]", Raw(1.0f)});
  const Bad cases[] = {
      {{none}, "m.x.weight: is missing"},
      {{fp8}, "m.x.weight_scale: is missing, want the scale of F8_E4M3"},
      {{fp8, {"m.x.weight_scale", "U8", "[]", "a"}}, "m.x.weight_scale: has type U8"},
      {{fp8, {"m.x.weight_scale", "F32", "[3]", Raw(1.f) + Raw(1.f) + Raw(1.f)}},
       "m.x.weight_scale: has shape [3], want [], [2, 1] or [1, 1]"},
      {{fp8, {"m.x.weight_scale", "F32", "[]", Raw(NAN)}}, "m.x.weight_scale: is nan"},
      {nvfp4(1, none), "m.x.weight_scale: is missing"},
      {nvfp4(2, none), "m.x.weight_scale_2: is missing"},
      {nvfp4(1, {"m.x.weight_scale", "F8_E4M3", "[2,1]", "aa"}), "m.x.weight_scale: has shape [2, 1], want [2, 2]"},
      {nvfp4(1, {"m.x.weight_scale", "I8", "[2,2]", "aaaa"}), "m.x.weight_scale: has type I8, want F8_E4M3"},
      {nvfp4(2, {"m.x.weight_scale_2", "F32", "[2]", Raw(1.f) + Raw(1.f)}),
       "m.x.weight_scale_2: has shape [2], want []"},
      {nvfp4(2, {"m.x.weight_scale_2", "I32", "[]", Raw(1)}), "m.x.weight_scale_2: has type I32"},
      {ModelOptNvFp4(), "m.x.weight: has shape [2, 16], want [2, 32]", 64},
      {ModelOptNvFp4(), "m.x.weight: has 40 columns; NVFP4 wants a multiple of 16", 40},
      {infinite, "m.x.weight_global_scale: is inf"},
      {zero, "m.x.weight_global_scale: is 0, want a positive number"},
      {awq, "m.x.pre_quant_scale: AWQ"},
  };
  for (const Bad& bad : cases) {
    const auto row = Folder(bad.tensors).Row(2, bad.cols);
    ASSERT_FALSE(row.ok()) << bad.message;
    EXPECT_THAT(row.status().message(), HasSubstr(bad.message));
  }
  const Folder folder(ModelOptNvFp4(), R"({"quantization_config":{"quant_method":"modelopt","quant_algo":"FP8"}})");
  EXPECT_THAT(folder.Row(2, 32).status().message(), HasSubstr("m.x: is stored as NVFP4;"));
}

// Whatever names, types and shapes are mixed up: an answer or an error.
TEST(StoredMatrix, SurvivesRandomTensors) {
  const char* names[] = {"m.x.weight",         "m.x.weight_packed",    "m.x.weight_scale",
                         "m.x.weight_scale_2", "m.x.weight_scale_inv", "m.x.weight_global_scale"};
  const char* types[] = {"U8", "F8_E4M3", "F32", "BF16", "F8_E8M0", "I8"};
  const int widths[] = {1, 1, 4, 2, 1, 1};
  const int dims[] = {0, 1, 2, 16, 32};
  std::mt19937 random(5);
  for (int round = 0; round < 3000; ++round) {
    std::vector<Tensor> tensors;
    for (const char* name : names) {
      if (random() % 3 == 0) continue;
      const int type = random() % 6, rows = dims[random() % 5], cols = dims[random() % 5];
      const bool flat = random() % 3 == 0;
      std::string bytes(static_cast<size_t>((flat ? 1 : rows) * cols * widths[type]), '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
      tensors.push_back(
          {name, types[type], flat ? absl::StrCat("[", cols, "]") : absl::StrCat("[", rows, ",", cols, "]"), bytes});
    }
    (void)Folder(tensors).Row(2, 32).ok();
  }
}

}  // namespace
}  // namespace braid
