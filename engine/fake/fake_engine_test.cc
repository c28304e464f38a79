#include <gtest/gtest.h>

#include <set>

#include "engine/engine.h"
#include "engine/testing/tiny_engine.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {
namespace {

using testing::Choice;
using testing::kClock;

constexpr int kWords = 40, kEnd = kWords, kBroken = kWords + 1, kVocab = kWords + 2;

// "w0 " to "w39 ", an end token and one byte of a longer character.
std::unique_ptr<Tokenizer> WordTokenizer() {
  GgufVocabulary v;
  v.model = "llama";
  for (int i = 0; i < kWords; ++i) v.tokens.push_back(absl::StrCat("w", i, "\u2581"));
  v.token_types.assign(kWords, 1);
  v.tokens.insert(v.tokens.end(), {"<end>", "<0xC3>"});
  v.token_types.insert(v.token_types.end(), {3, 6});
  v.scores.assign(v.tokens.size(), 0);
  auto tokenizer = Tokenizer::FromGguf(v);
  CHECK(tokenizer.ok()) << tokenizer.status();
  return *std::move(tokenizer);
}

class FakeEngine : public ::testing::Test {
 protected:
  Choice Ask(GenerateRequest request) {
    request.prompt = {1, 2, 3};
    return testing::Ask(*engine_, request);
  }

  const std::unique_ptr<Tokenizer> tokenizer_ = WordTokenizer();
  const std::unique_ptr<Engine> engine_ =
      *Engine::StartFake({.memory_bytes = 16 << 20, .eos_token_ids = {kEnd}}, *tokenizer_, {}, &kClock);
};

TEST_F(FakeEngine, DrawsWholeCharactersOfPlainTextUpToTheLengthAskedFor) {
  const Choice choice = Ask({.sampling = {.seed = 5}, .max_tokens = 500});
  EXPECT_EQ(choice.finish, FinishReason::kLength);
  EXPECT_EQ(choice.tokens.size(), 500u);
  const std::set<int32_t> drawn(choice.tokens.begin(), choice.tokens.end());
  EXPECT_EQ(drawn.size(), static_cast<size_t>(kWords));
  EXPECT_FALSE(drawn.contains(kEnd) || drawn.contains(kBroken));
}

TEST_F(FakeEngine, EqualSeedsGiveEqualTokensAndOthersGiveOthers) {
  const Choice choice = Ask({.sampling = {.seed = 5}, .max_tokens = 60});
  EXPECT_EQ(Ask({.sampling = {.seed = 5}, .max_tokens = 60}).tokens, choice.tokens);
  EXPECT_NE(Ask({.sampling = {.seed = 6}, .max_tokens = 60}).tokens, choice.tokens);
  const Choice greedy = Ask({.sampling = {.temperature = 0, .seed = 5}, .max_tokens = 60});
  EXPECT_EQ(Ask({.sampling = {.temperature = 0, .seed = 6}, .max_tokens = 60}).tokens, greedy.tokens);
}

TEST_F(FakeEngine, KeepsToWhatARequestAllows) {
  for (const int32_t token : Ask({.sampling = {.allowed_token_ids = {3, 9}}, .max_tokens = 50}).tokens) {
    EXPECT_TRUE(token == 3 || token == 9);
  }
  const Choice end = Ask({.sampling = {.allowed_token_ids = {kEnd}}, .max_tokens = 50});
  EXPECT_EQ(end.finish, FinishReason::kStop);
  EXPECT_EQ(end.tokens, std::vector<int32_t>{kEnd});
}

TEST_F(FakeEngine, GivesEveryTokenTheLogprobOfAnEvenDraw) {
  const Choice choice = Ask({.sampling = {.logprobs = 3}, .max_tokens = 4});
  ASSERT_EQ(choice.logprobs.size(), 4u);
  EXPECT_FLOAT_EQ(choice.logprobs[0].logprob, -std::log(static_cast<float>(kWords)));
  EXPECT_EQ(choice.logprobs[0].top[0].first, choice.tokens[0]);
}

TEST_F(FakeEngine, NeedsATokenThatIsAWholeCharacter) {
  GgufVocabulary v;
  v.model = "llama";
  v.tokens = {"<end>", "<0xC3>"};
  v.token_types = {3, 6};
  v.scores = {0, 0};
  const auto tokenizer = Tokenizer::FromGguf(v);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(Engine::StartFake({.memory_bytes = 16 << 20}, **tokenizer, {}, &kClock).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace braid
