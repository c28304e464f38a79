#include "models/weights/weight_scope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/weights/test_files.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

class WeightScopeTest : public ::testing::Test {
 protected:
  WeightScopeTest() {
    folder_.Write("config.json", "{}");
    folder_.Write("model.safetensors",
                  SafetensorsBytes(R"({"layers.0.w":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]}})", 2));
    checkpoint_ = *Checkpoint::Open(folder_.path());
  }

  TestFolder folder_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

TEST_F(WeightScopeTest, FindsByPrefixAndShape) {
  const WeightScope root(*checkpoint_);
  const WeightScope layer = root.Child("layers.0.");
  EXPECT_EQ(layer.Require("w", {2, 1}).bytes.size(), 2u);
  EXPECT_TRUE(layer.Optional("w", {2, 1}).has_value());
  EXPECT_FALSE(layer.Optional("bias", {2}).has_value());
  EXPECT_TRUE(layer.Has("w"));
  EXPECT_TRUE(root.status().ok());
  EXPECT_TRUE(checkpoint_->Unread().empty());
}

TEST_F(WeightScopeTest, KeepsTheFirstErrorOfAllChildren) {
  const WeightScope root(*checkpoint_);
  const StoredTensor wrong = root.Child("layers.").Child("0.").Require("w", {1, 2});
  EXPECT_TRUE(wrong.bytes.empty());
  EXPECT_TRUE(root.Require("absent", {1}).bytes.empty());
  EXPECT_THAT(root.status().message(), HasSubstr("layers.0.w: has shape [2, 1], want [1, 2]"));
}

TEST_F(WeightScopeTest, AMissingTensorIsNamed) {
  const WeightScope root(*checkpoint_);
  root.Child("layers.1.").Require("w", {2});
  EXPECT_TRUE(absl::IsNotFound(root.status()));
  EXPECT_THAT(root.status().message(), HasSubstr("layers.1.w: is missing, want shape [2]"));
}

}  // namespace
}  // namespace braid
