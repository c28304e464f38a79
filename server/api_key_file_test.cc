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
