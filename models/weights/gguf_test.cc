#include "models/weights/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kF32 = 0, kQ40 = 2, kQ41 = 3, kQ80 = 8, kQ4K = 12, kQ8K = 15;

std::string Array(const std::string& key, uint32_t element, uint64_t count, const std::string& items) {
  return GgufText(key) + Raw<uint32_t>(9) + Raw(element) + Raw(count) + items;
}

std::string Good() {
  const std::string metadata =
      GgufString("general.architecture", "llama") + GgufU32("llama.block_count", 2) + GgufF32("eps", 0.5f) +
      GgufText("flag") + Raw<uint32_t>(7) + Raw<uint8_t>(1) + Array("words", 8, 2, GgufText("one") + GgufText("")) +
      Array("numbers", 5, 2, Raw<int32_t>(-3) + Raw<int32_t>(7)) + Array("floats", 6, 1, Raw(1.5f)) + GgufText("long") +
      Raw<uint32_t>(11) + Raw<int64_t>(-9);
  const std::string infos = GgufInfo("a", {32, 2}, kQ80, 0) + GgufInfo("b", {3}, kF32, 96) +
                            GgufInfo("c", {64, 1}, kQ40, 128) + GgufInfo("d", {32}, kQ41, 192) +
                            GgufInfo("e", {256, 2}, kQ4K, 224);
  return GgufBytes(8, metadata, 5, infos, 224 + 288);
}

TEST(Gguf, ReadsTypedMetadata) {
  const TestFolder folder;
  const auto opened = GgufFile::Open(folder.Write("f", Good()));
  ASSERT_TRUE(opened.ok()) << opened.status();
  const GgufFile& file = **opened;
  EXPECT_EQ(*file.GetString("general.architecture"), "llama");
  EXPECT_EQ(*file.GetU32("llama.block_count"), 2u);
  EXPECT_EQ(*file.GetF32("eps"), 0.5f);
  EXPECT_TRUE(*file.GetBool("flag"));
  EXPECT_THAT(*file.GetStrings("words"), ElementsAre("one", ""));
  EXPECT_THAT(*file.GetI32s("numbers"), ElementsAre(-3, 7));
  EXPECT_THAT(*file.GetF32s("floats"), ElementsAre(1.5f));
}

TEST(Gguf, AccessorsNameTheKey) {
  const TestFolder folder;
  const auto file = *GgufFile::Open(folder.Write("f", Good()));
  EXPECT_TRUE(absl::IsNotFound(file->GetU32("absent").status()));
  EXPECT_THAT(file->GetU32("absent").status().message(), HasSubstr("absent: is missing"));
  for (const absl::Status& status :
       {file->GetU32("eps").status(), file->GetF32("flag").status(), file->GetString("eps").status(),
        file->GetArray("eps").status(), file->GetStrings("numbers").status(), file->GetI32s("words").status(),
        file->GetF32s("numbers").status(), file->GetBool("eps").status(), file->GetU32("long").status()}) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(status.message(), HasSubstr(": want a"));
  }
}

TEST(Gguf, ShapesBeginWithTheOutermostDimension) {
  const TestFolder folder;
  const auto file = *GgufFile::Open(folder.Write("f", Good()));
  EXPECT_EQ(file->tensors().at("a").shape, (Shape{2, 32}));
  EXPECT_EQ(file->tensors().at("a").dtype, DType::kQ8_0);
  EXPECT_EQ(file->tensors().at("a").bytes.size(), 68u);
  EXPECT_EQ(file->tensors().at("c").bytes.size(), 36u);
  EXPECT_EQ(file->tensors().at("d").bytes.size(), 20u);
  EXPECT_EQ(file->tensors().at("e").shape, (Shape{2, 256}));
  EXPECT_EQ(file->tensors().at("e").bytes.size(), 288u);
}

TEST(Gguf, RefusesEveryTruncation) {
  const TestFolder folder;
  const std::string whole = Good();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(GgufFile::Open(folder.Write("f", whole.substr(0, size))).ok()) << size;
  }
}

struct Bad {
  std::string bytes;
  const char* message;
};

TEST(Gguf, RefusesBadFilesNamingTheTensorOrKey) {
  const std::string one = GgufInfo("a", {32}, kF32, 0);
  const std::string head = "GGUF" + Raw<uint32_t>(3);
  const auto metadata = [](const std::string& entry) { return GgufBytes(1, entry, 0, "", 64); };
  const auto tensor = [](const std::string& info, size_t data) { return GgufBytes(0, "", 1, info, data); };
  const Bad cases[] = {
      {"GGML" + Raw<uint32_t>(3) + std::string(64, '\0'), "header"},
      {"GGUF" + Raw<uint32_t>(2) + std::string(64, '\0'), "version: 2"},
      {head + Raw(~uint64_t{0}) + Raw<uint64_t>(0), "tensor count"},
      {head + Raw<uint64_t>(0) + Raw(uint64_t{1} << 62), "metadata count"},
      {metadata(GgufText("k") + Raw<uint32_t>(13)), "k: type 13"},
      {metadata(GgufText("k") + Raw<uint32_t>(8) + Raw(~uint64_t{0})), "k: wants"},
      {metadata(GgufText("k") + Raw<uint32_t>(7) + Raw<uint8_t>(2)), "k: a bool"},
      {metadata(Array("k", 9, 1, "")), "k: an array of type 9"},
      {metadata(Array("k", 10, uint64_t{1} << 61, "")), "k: "},
      {metadata(Array("k", 8, ~uint64_t{0}, "")), "k: "},
      {metadata(GgufText("") + Raw<uint32_t>(7) + std::string(1, '\0')), "key 0: a name of 0 bytes"},
      {metadata(Raw(~uint64_t{0}) + std::string(40, 'x')), "key 0: wants"},
      {GgufBytes(2, GgufU32("k", 1) + GgufU32("k", 2), 0, "", 64), "k: is given twice"},
      {metadata(GgufU32("general.alignment", 0)), "general.alignment"},
      {metadata(GgufU32("general.alignment", 48)), "general.alignment"},
      {metadata(GgufU32("general.alignment", 1u << 31)), "general.alignment"},
      {metadata(GgufString("general.alignment", "32")), "general.alignment"},
      {tensor(GgufInfo("a", {256}, kQ8K, 0), 292), "a: type Q8_K (15)"},
      {tensor(GgufInfo("a", {32}, 77, 0), 144), "a: type unknown (77)"},
      {tensor(GgufInfo("a", {}, kF32, 0), 144), "a: 0 dimensions"},
      {tensor(GgufInfo("a", {1, 1, 1, 1, 1}, kF32, 0), 144), "a: 5 dimensions"},
      {tensor(GgufInfo("a", {0}, kF32, 0), 144), "a: dimension 0 is 0"},
      {tensor(GgufInfo("a", {~uint64_t{0}}, kF32, 0), 144), "a: dimension 0"},
      {tensor(GgufInfo("a", {uint64_t{1} << 32, uint64_t{1} << 32}, kF32, 0), 144), "a: shape"},
      {tensor(GgufInfo("a", {uint64_t{1} << 61, 2}, kF32, 0), 144), "a: shape"},
      {tensor(GgufInfo("a", {16, 2}, kQ80, 0), 144), "a: shape"},
      {tensor(GgufInfo("a", {32}, kF32, 8), 192), "a: offset 8"},
      {tensor(GgufInfo("a", {32}, kF32, ~uint64_t{31}), 192), "a: offset"},
      {tensor(one, 127), "a: offset 0 of 128"},
      {GgufBytes(0, "", 2, one + GgufInfo("b", {32}, kF32, 96), 256), "b: offset 96 lies in another tensor"},
      {GgufBytes(0, "", 2, one + GgufInfo("a", {32}, kF32, 128), 256), "a: is given twice"},
  };
  const TestFolder folder;
  for (const Bad& bad : cases) {
    const std::string path = folder.Write("f", bad.bytes);
    const auto file = GgufFile::Open(path);
    ASSERT_FALSE(file.ok()) << bad.message;
    EXPECT_THAT(file.status().message(), HasSubstr(path + ": "));
    EXPECT_THAT(file.status().message(), HasSubstr(bad.message));
  }
}

TEST(Gguf, HonoursTheAlignment) {
  const TestFolder folder;
  const std::string infos = GgufInfo("a", {1}, kF32, 0) + GgufInfo("b", {1}, kF32, 64);
  const std::string bytes = GgufBytes(1, GgufU32("general.alignment", 64), 2, infos, 68, 64);
  const auto file = GgufFile::Open(folder.Write("f", bytes));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ((*file)->tensors().at("b").bytes.data() + 4, (*file)->file().bytes().data() + bytes.size());
}

TEST(Gguf, SurvivesRandomMutations) {
  const TestFolder folder;
  const std::string whole = Good();
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (uint32_t edits = random() % 4 + 1; edits > 0; --edits) {
      const size_t at = random() % bytes.size();
      if (random() % 4 == 0)
        bytes.erase(at, random() % 8);
      else
        bytes[at] = static_cast<char>(random() % 2 == 0 ? random() : 255);
      if (bytes.empty()) bytes.push_back('x');
    }
    const auto file = GgufFile::Open(folder.Write("f", bytes));
    if (!file.ok()) continue;
    for (const auto& [key, value] : (*file)->metadata()) {
      (void)(*file)->GetStrings(key).ok();
      (void)(*file)->GetI32s(key).ok();
      (void)(*file)->GetF32s(key).ok();
    }
    for (const auto& [name, tensor] : (*file)->tensors()) {
      EXPECT_EQ(static_cast<int64_t>(tensor.bytes.size()), DTypeBytes(tensor.dtype, NumElements(tensor.shape)));
    }
  }
}

}  // namespace
}  // namespace braid
