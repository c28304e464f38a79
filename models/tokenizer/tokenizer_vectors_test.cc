// Every stored tokenizer.json against the vectors of the reference implementation.
#include <gtest/gtest.h>

#include "kernels/base/errors.h"
#include "models/tokenizer/token_vectors.h"

namespace braid {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Tokenizer> Load(const fs::path& path) {
  auto tokenizer = Tokenizer::FromJson(ReadAll(path));
  CHECK(tokenizer.ok()) << path << tokenizer.status().ToString();
  return *std::move(tokenizer);
}

TEST(TokenizerVectors, JsonEncodesDecodesAndStreamsAsTheReference) {
  int checked = 0;
  for (const fs::path& folder : VectorFolders()) {
    for (const auto& file : fs::directory_iterator(folder / "vocabs")) {
      std::string name = file.path().filename().string();
      const size_t end = name.find(".json");
      if (end == std::string::npos) continue;
      name.resize(end);
      const auto tokenizer = Load(file.path());
      CheckEncodeVectors(folder, name, *tokenizer);
      CheckStreamVectors(folder, name, *tokenizer);
      ++checked;
    }
  }
  EXPECT_GE(checked, 10);
}

}  // namespace
}  // namespace braid
