#include "models/weights/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "models/weights/shard_index.h"
#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kOne[] =
    R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
constexpr char kTwo[] = R"({"c":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";

// A folder of two shards under the index `weight_map`.
absl::StatusOr<std::unique_ptr<Checkpoint>> OpenShards(const TestFolder& folder, const std::string& weight_map) {
  folder.Write("config.json", R"({"model_type":"llama"})");
  folder.Write("one.safetensors", SafetensorsBytes(kOne, 3));
  folder.Write("two.safetensors", SafetensorsBytes(kTwo, 4));
  folder.Write("model.safetensors.index.json", R"({"metadata":{"total_size":7},"weight_map":)" + weight_map + "}");
  return Checkpoint::Open(folder.path());
}

TEST(Checkpoint, JoinsShardsAndReportsWhatNobodyRead) {
  const TestFolder folder;
  const auto checkpoint = OpenShards(folder, R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const Checkpoint& c = **checkpoint;
  EXPECT_THAT(c.Unread(), ElementsAre("a", "b", "c"));
  ASSERT_NE(c.Find("b"), nullptr);
  EXPECT_TRUE(c.Get("c").ok());
  EXPECT_THAT(c.Unread(), ElementsAre("a"));
  EXPECT_EQ(c.Find("x"), nullptr);
  EXPECT_THAT(c.Get("x").status().message(), HasSubstr(folder.path() + ": x: is missing"));
  EXPECT_EQ(c.TotalBytes(), 7);
  EXPECT_EQ(c.BytesByType().at(DType::kU8), 3);
  c.ReleasePages(*c.Find("c"));
  EXPECT_EQ(c.Find("c")->bytes[3], std::byte{1});
}

TEST(Checkpoint, ReportsTensorsThatTheIndexDoesNotList) {
  const TestFolder folder;
  const auto checkpoint = OpenShards(folder, R"({"a":"one.safetensors","c":"two.safetensors"})");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->Find("b"), nullptr);
  EXPECT_THAT((*checkpoint)->Unread(), ElementsAre("a", "b", "c"));
}

TEST(Checkpoint, RefusesABadIndex) {
  const char* cases[][2] = {
      {R"({"a":"../one.safetensors"})", "no plain file name"},
      {R"({"a":"/etc/passwd"})", "no plain file name"},
      {R"({"a":".."})", "no plain file name"},
      {R"({"a":""})", "no plain file name"},
      {R"({"a":"one.safetensors","a":"two.safetensors"})", "a: is given twice"},
      {R"({"a":"two.safetensors"})", "a: is not in"},
      {R"({"a":"three.safetensors"})", "three.safetensors: No such file"},
      {R"({"a":1})", "at byte"},
      {R"([])", "at byte"},
  };
  for (const auto& [weight_map, message] : cases) {
    const TestFolder folder;
    const auto checkpoint = OpenShards(folder, weight_map);
    ASSERT_FALSE(checkpoint.ok()) << weight_map;
    EXPECT_THAT(checkpoint.status().message(), HasSubstr(folder.path()));
    EXPECT_THAT(checkpoint.status().message(), HasSubstr(message));
  }
  EXPECT_FALSE(ParseShardIndex("{}").ok());
}

TEST(Checkpoint, RefusesAnIncompleteFolder) {
  const TestFolder folder;
  EXPECT_TRUE(absl::IsNotFound(Checkpoint::Open(folder.path()).status()));
  folder.Write("config.json", "{}");
  EXPECT_THAT(Checkpoint::Open(folder.path()).status().message(), HasSubstr("neither model.safetensors"));
  EXPECT_FALSE(Checkpoint::Open(folder.Path("absent")).ok());
  folder.Write("config.json", "[1]");
  EXPECT_THAT(Checkpoint::Open(folder.path()).status().message(), HasSubstr("config.json: want a JSON object"));
  folder.Write("config.json", "{\"a\":1,\"a\":2}");
  EXPECT_THAT(Checkpoint::Open(folder.path()).status().message(), HasSubstr("config.json: JSON"));
}

TEST(Checkpoint, TextFilesAreRegularAndOptional) {
  const TestFolder folder;
  folder.Write("config.json", "{}");
  folder.Write("model.safetensors", SafetensorsBytes(kOne, 3));
  folder.Write("chat_template.jinja", "{{ x }}");
  folder.Write("generation_config.json", R"({"eos_token_id":[2]})");
  const auto checkpoint = Checkpoint::Open(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_EQ((*checkpoint)->TextFile("chat_template.jinja"), "{{ x }}");
  EXPECT_EQ((*checkpoint)->TextFile("tokenizer.json"), "");
  EXPECT_EQ((*checkpoint)->generation_config()["eos_token_id"][0], 2);
  ASSERT_EQ(mkfifo(folder.Path("tokenizer.json").c_str(), 0600), 0);
  EXPECT_THAT(Checkpoint::Open(folder.path()).status().message(), HasSubstr("tokenizer.json: is no regular file"));
}

TEST(Checkpoint, TextFilesHaveALimit) {
  const TestFolder folder;
  folder.Write("config.json", "{}");
  folder.Write("model.safetensors", SafetensorsBytes(kOne, 3));
  std::filesystem::resize_file(folder.Write("tokenizer.json", "{"), Checkpoint::kMaxTextBytes + 1);
  EXPECT_THAT(Checkpoint::Open(folder.path()).status().message(), HasSubstr("tokenizer.json: has"));
}

TEST(Checkpoint, OpensAGgufFile) {
  const TestFolder folder;
  const std::string bytes = GgufBytes(1, GgufString("general.architecture", "llama"), 1, GgufInfo("a", {2}, 0, 0), 8);
  const auto checkpoint = Checkpoint::Open(folder.Write("m.gguf", bytes));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_NE((*checkpoint)->gguf(), nullptr);
  EXPECT_TRUE((*checkpoint)->config().empty());
  EXPECT_EQ((*checkpoint)->TextFile("tokenizer.json"), "");
  ASSERT_NE((*checkpoint)->Find("a"), nullptr);
  EXPECT_TRUE((*checkpoint)->Unread().empty());
}

TEST(Checkpoint, OpensRealFolders) {
  for (const char* name : {"llama", "llama3_rope", "nemotron_h", "nemotron_h_dense", "nemotron_h_latent_mtp"}) {
    const auto checkpoint = Checkpoint::Open(std::string(BRAID_SOURCE_DIR "/tests/data/models/") + name);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
    EXPECT_GT((*checkpoint)->num_tensors(), 20u) << name;
    EXPECT_GT((*checkpoint)->BytesByType().at(DType::kBF16), 100'000) << name;
  }
}

}  // namespace
}  // namespace braid
