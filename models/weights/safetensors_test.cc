#include "models/weights/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

constexpr char kGood[] =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},)"
    R"("b":{"dtype":"F32","shape":[],"data_offsets":[12,16]},"c":{"dtype":"U8","shape":[0,4],"data_offsets":[16,16]}}  )";

TEST(Safetensors, ReadsTensorsByName) {
  const TestFolder folder;
  const auto file = SafetensorsFile::Open(folder.Write("f", SafetensorsBytes(kGood, 16)));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto& tensors = (*file)->tensors();
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("a").dtype, DType::kBF16);
  EXPECT_EQ(tensors.at("a").shape, (Shape{2, 3}));
  EXPECT_EQ(tensors.at("a").bytes.data() + 12, tensors.at("b").bytes.data());
  EXPECT_EQ(tensors.at("b").bytes.size(), 4u);
  EXPECT_TRUE(tensors.at("c").bytes.empty());
}

struct Bad {
  const char* header;
  size_t data_bytes;
  const char* message;
};

TEST(Safetensors, RefusesBadHeadersNamingTheTensor) {
  const Bad cases[] = {
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "a: shape: [2] of F32 does not fill 4"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 8, "the last 4 bytes belong to no tensor"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "a: data_offsets"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "a: data_offsets: begins at 4"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3, "b: data_offsets: begins at 1"},
      {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})",
       2, "data_offsets: begins at 0"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
       3, "b: data_offsets: begins at 2"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, "a: data_offsets"},
      {R"({"a":{"dtype":"Q9","shape":[1],"data_offsets":[0,1]}})", 1, "a: dtype: \"Q9\" is not known"},
      {R"({"a":{"dtype":"Q4_0","shape":[32],"data_offsets":[0,18]}})", 18, "is not known"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
       2, "a: is given twice"},
      {R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1, "twice"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1, "a: field \"x\""},
      {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "a: shape"},
      {R"({"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}})", 0, "a: shape"},
      {R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1, "a: shape"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1, "a: shape"},
      {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "header: at byte"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}})", 1, "a: data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[1]}})", 1, "a: want dtype"},
      {R"({"a":[1]})", 1, "header: at byte"},
      {R"([])", 0, "header: at byte"},
      {R"({"a")", 0, "header: at byte"},
      {R"({}x)", 0, "header: at byte"},
  };
  const TestFolder folder;
  for (const Bad& bad : cases) {
    const std::string path = folder.Write("f", SafetensorsBytes(bad.header, bad.data_bytes));
    const auto file = SafetensorsFile::Open(path);
    ASSERT_FALSE(file.ok()) << bad.header;
    EXPECT_THAT(file.status().message(), HasSubstr(path + ": "));
    EXPECT_THAT(file.status().message(), HasSubstr(bad.message));
  }
}

TEST(Safetensors, RefusesHeaderLengthsThatLie) {
  const TestFolder folder;
  const std::string rest = "{}      ";
  for (uint64_t length : {uint64_t{0}, uint64_t{1}, uint64_t{9}, uint64_t{100} << 20, ~uint64_t{0}, ~uint64_t{0} - 8}) {
    const auto file = SafetensorsFile::Open(folder.Write("f", Raw(length) + rest));
    ASSERT_FALSE(file.ok()) << length;
    EXPECT_THAT(file.status().message(), HasSubstr("header: length"));
  }
  EXPECT_TRUE(SafetensorsFile::Open(folder.Write("f", Raw(uint64_t{8}) + rest)).ok());
}

TEST(Safetensors, RefusesEveryTruncation) {
  const TestFolder folder;
  const std::string whole = SafetensorsBytes(kGood, 16);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(SafetensorsFile::Open(folder.Write("f", whole.substr(0, size))).ok()) << size;
  }
}

// Whatever the bytes are, the answer is a status, and a good one keeps every tensor inside the file.
TEST(Safetensors, SurvivesRandomMutations) {
  const TestFolder folder;
  const std::string whole = SafetensorsBytes(kGood, 16);
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (uint32_t edits = random() % 4 + 1; edits > 0; --edits) {
      const size_t at = random() % bytes.size();
      if (random() % 3 == 0)
        bytes.insert(at, 1, static_cast<char>("0123456789[]{}\",:"[random() % 17]));
      else if (random() % 2 == 0)
        bytes[at] = static_cast<char>(random());
      else
        bytes.erase(at, random() % 8);
      if (bytes.empty()) bytes.push_back('x');
    }
    const auto file = SafetensorsFile::Open(folder.Write("f", bytes));
    if (!file.ok()) continue;
    for (const auto& [name, tensor] : (*file)->tensors()) {
      EXPECT_LE(tensor.bytes.size(), bytes.size());
      EXPECT_EQ(static_cast<int64_t>(tensor.bytes.size()), DTypeBytes(tensor.dtype, NumElements(tensor.shape)));
    }
  }
}

TEST(Safetensors, ReadsARealShard) {
  const auto file = SafetensorsFile::Open(BRAID_SOURCE_DIR "/tests/data/models/nemotron_h/model.safetensors");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->tensors().at("backbone.layers.0.mixer.A_log").dtype, DType::kF32);
}

}  // namespace
}  // namespace braid
