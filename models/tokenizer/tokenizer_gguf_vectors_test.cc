// Vocabularies in GGUF metadata give the ids of the tokenizer.json of the same model.
#include <gtest/gtest.h>

#include <fstream>
#include <optional>

#include "kernels/base/errors.h"
#include "models/tokenizer/token_vectors.h"
#include "models/weights/gguf.h"

namespace braid {
namespace {

namespace fs = std::filesystem;

template <class T>
std::optional<T> Maybe(const absl::StatusOr<T>& value) {
  return value.ok() ? std::optional<T>(*value) : std::nullopt;
}

// The published sentencepiece models give runs of spaces the score -1e9, so that they join after all else. The stored
// GGUF files have scores made from ids, in which such runs come first.
void ScoreSpaceRunsAsPublished(GgufVocabulary* v) {
  constexpr std::string_view kMark = "\u2581";
  for (size_t id = 0; id < v->scores.size(); ++id) {
    std::string_view left = v->tokens[id];
    while (left.substr(0, kMark.size()) == kMark) left.remove_prefix(kMark.size());
    if (left.empty() && v->tokens[id].size() > kMark.size()) v->scores[id] = -1e9f;
  }
}

// Reads the vocabulary of a gzipped GGUF file.
GgufVocabulary ReadVocabulary(const fs::path& zipped) {
  const std::string path = testing::TempDir() + "/" + zipped.stem().string();
  std::ofstream(path, std::ios::binary) << ReadAll(zipped);
  const auto opened = GgufFile::Open(path);
  CHECK(opened.ok()) << opened.status().ToString();
  const GgufFile& file = **opened;
  GgufVocabulary v;
  v.model = file.GetString("tokenizer.ggml.model").value();
  v.pre = Maybe(file.GetString("tokenizer.ggml.pre")).value_or("");
  v.tokens = file.GetStrings("tokenizer.ggml.tokens").value();
  v.token_types = file.GetI32s("tokenizer.ggml.token_type").value();
  v.scores = Maybe(file.GetF32s("tokenizer.ggml.scores")).value_or(std::vector<float>());
  v.merges = Maybe(file.GetStrings("tokenizer.ggml.merges")).value_or(std::vector<std::string>());
  v.bos_id = Maybe(file.GetU32("tokenizer.ggml.bos_token_id"));
  v.eos_id = Maybe(file.GetU32("tokenizer.ggml.eos_token_id"));
  v.unknown_id = Maybe(file.GetU32("tokenizer.ggml.unknown_token_id"));
  v.add_bos = Maybe(file.GetBool("tokenizer.ggml.add_bos_token"));
  v.add_space_prefix = Maybe(file.GetBool("tokenizer.ggml.add_space_prefix"));
  fs::remove(path);
  ScoreSpaceRunsAsPublished(&v);
  return v;
}

TEST(TokenizerVectors, GgufEncodesAsTheJsonOfTheSameModel) {
  int checked = 0;
  for (const fs::path& folder : VectorFolders()) {
    for (const auto& file : fs::directory_iterator(folder / "vocabs")) {
      std::string name = file.path().filename().string();
      const size_t end = name.find(".vocab.gguf");
      if (end == std::string::npos) continue;
      name.resize(end);
      const auto tokenizer = Tokenizer::FromGguf(ReadVocabulary(file.path()));
      ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
      CheckEncodeVectors(folder, name, **tokenizer);
      CheckStreamVectors(folder, name, **tokenizer);
      ++checked;
    }
  }
  if (checked == 0) GTEST_SKIP() << "BRAID_ORACLES is not set: no GGUF vocabularies";
}

}  // namespace
}  // namespace braid
