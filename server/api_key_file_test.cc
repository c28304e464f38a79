#include "server/api_key_file.h"

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace braid {
namespace {

std::string Written(const std::string& text) {
  const std::string path = testing::TempDir() + "braid_api_key_file_test";
  std::ofstream(path) << text;
  return path;
}

TEST(ApiKeyFile, KeepsHashesOfItsLines) {
  const auto hashes = ReadApiKeyFile(Written("# of the team\nalpha\n\n  beta \r\n"));
  ASSERT_TRUE(hashes.ok()) << hashes.status();
  EXPECT_THAT(*hashes, testing::ElementsAre(HashKey("alpha"), HashKey("beta")));
}

TEST(ApiKeyFile, TakesHashesInPlaceOfKeys) {
  // printf %s alpha | sha256sum
  const auto hashes = ReadApiKeyFile(Written("sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8\nbeta\n"));
  ASSERT_TRUE(hashes.ok()) << hashes.status();
  EXPECT_THAT(*hashes, testing::ElementsAre(HashKey("alpha"), HashKey("beta")));
  for (const char* wrong : {"sha256:", "sha256:12", "sha256:8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223fx"}) {
    const auto status = ReadApiKeyFile(Written(wrong)).status();
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("line 1: sha256: wants 64")) << wrong;
  }
}

TEST(ApiKeyFile, WithoutAKeyItIsAnErrorThatNamesTheFile) {
  for (const std::string& path : {Written("# nothing\n"), std::string("/no/such/file")}) {
    const auto hashes = ReadApiKeyFile(path);
    ASSERT_FALSE(hashes.ok());
    EXPECT_THAT(std::string(hashes.status().message()), testing::HasSubstr(path));
  }
}

TEST(ApiKeyFile, ErrorsDoNotShowTheKey) {
  const auto hashes = ReadApiKeyFile(Written("good\n" + std::string(600, 'k')));
  ASSERT_FALSE(hashes.ok());
  EXPECT_THAT(std::string(hashes.status().message()), testing::HasSubstr("line 2"));
  EXPECT_THAT(std::string(hashes.status().message()), testing::Not(testing::HasSubstr("kkk")));
}

}  // namespace
}  // namespace braid
