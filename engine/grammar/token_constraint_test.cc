#include "engine/grammar/token_constraint.h"

#include <gtest/gtest.h>

#include <set>

#include "engine/grammar/grammar_sources.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"

namespace braid {
namespace {

// Ids: 0..9 the tokens below, 10 the end.
const std::vector<std::string> kTokens = {"a", "b", "ab", "\n", "x", "</think>", "<think>", "</", "think>", " a", "<end>"};
constexpr int kVocab = 11, kEnd = 10, kClose = 5, kOpen = 6;

std::unique_ptr<Tokenizer> MakeTokenizer() {
  Json vocab = Json::object(), added = Json::array();
  for (int id = 0; id < kVocab; ++id) {
    std::string spelled = kTokens[id] == "\n" ? "\xc4\x8a" : kTokens[id];
    if (spelled[0] == ' ') spelled = "\xc4\xa0" + spelled.substr(1);
    vocab[spelled] = id;
    if (id != kClose && id != kOpen && id != kEnd) continue;
    added.push_back(Json{{"id", id}, {"content", kTokens[id]}, {"special", true}, {"single_word", false},
                         {"lstrip", false}, {"rstrip", false}, {"normalized", false}});
  }
  Json json;
  const Json level{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  json["version"] = "1.0";
  json["added_tokens"] = added;
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = level;
  json["post_processor"] = nullptr;
  json["decoder"] = level;
  json["model"] = Json{{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}};
  auto tokenizer = Tokenizer::FromJson(WriteJson(json));
  CHECK(tokenizer.ok()) << tokenizer.status().ToString();
  return *std::move(tokenizer);
}

class TokenConstraintTest : public testing::Test {
 protected:
  TokenConstraintTest() : tokenizer_(MakeTokenizer()) {
    spec_.tokenizer = tokenizer_.get();
    spec_.end_ids = {kEnd};
  }
  void SetRegex(const char* pattern) {
    std::vector<bool> special(kVocab);
    special[kClose] = special[kOpen] = special[kEnd] = true;
    auto vocabulary = TokenVocabulary::Make(kTokens, special, {kEnd});
    auto grammar = RegexGrammar(pattern);
    CHECK(grammar.ok()) << grammar.status().ToString();
    auto compiled = CompiledGrammar::Compile(*std::move(grammar), vocabulary);
    CHECK(compiled.ok()) << compiled.status().ToString();
    spec_.grammar = *compiled;
  }
  void SetReasoning(bool inside, int budget, int grace = 0) {
    spec_.starts_in_reasoning = inside;
    spec_.reasoning_begin = inside ? -1 : kOpen;
    spec_.reasoning_end = "</think>";
    spec_.closing_ids = {kClose};
    spec_.thinking_budget = budget;
    spec_.thinking_grace = grace;
  }
  TokenConstraint Make() { return TokenConstraint(std::make_shared<ConstraintSpec>(spec_), kVocab); }

  // The ids of a mask; {-1} for none.
  static std::set<int> Ids(const uint32_t* mask) {
    if (mask == nullptr) return {-1};
    std::set<int> out;
    for (int id = 0; id < kVocab; ++id) {
      if (mask[id / 32] >> (id % 32) & 1) out.insert(id);
    }
    return out;
  }

  const std::unique_ptr<Tokenizer> tokenizer_;
  ConstraintSpec spec_;
};

using Set = std::set<int>;

TEST_F(TokenConstraintTest, GrammarBindsEveryToken) {
  SetRegex("ab+");
  TokenConstraint constraint = Make();
  EXPECT_EQ(Ids(constraint.Mask()), (Set{0, 2}));
  constraint.Commit(2);
  EXPECT_EQ(Ids(constraint.Mask()), (Set{1, kEnd}));
  EXPECT_FALSE(constraint.MustEnd());
}

TEST_F(TokenConstraintTest, GrammarWaitsForTheEndOfTheReasoning) {
  SetRegex("ab");
  SetReasoning(true, -1);
  TokenConstraint constraint = Make();
  for (int token : {4, 0, 3}) {
    EXPECT_EQ(Ids(constraint.Mask()), (Set{-1}));
    constraint.Commit(token);
  }
  constraint.Commit(7);  // "</" and "think>": the marker spelled in two tokens
  constraint.Commit(8);
  EXPECT_EQ(Ids(constraint.Mask()), (Set{0, 2}));
  constraint.Commit(2);
  EXPECT_TRUE(constraint.MustEnd());
  EXPECT_EQ(Ids(constraint.Mask()), (Set{kEnd}));
}

TEST_F(TokenConstraintTest, ModelMayOpenItsReasoning) {
  SetRegex("ab");
  SetReasoning(false, -1);
  TokenConstraint constraint = Make();
  EXPECT_EQ(Ids(constraint.Mask()), (Set{0, 2, kOpen}));
  constraint.Commit(kOpen);
  EXPECT_EQ(Ids(constraint.Mask()), (Set{-1}));
  constraint.Commit(kClose);
  EXPECT_EQ(Ids(constraint.Mask()), (Set{0, 2}));
}

TEST_F(TokenConstraintTest, BudgetClosesTheReasoning) {
  SetReasoning(true, 2);
  TokenConstraint constraint = Make();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ids(constraint.Mask()), (Set{-1}));
    constraint.Commit(4);
  }
  EXPECT_EQ(Ids(constraint.Mask()), (Set{kClose}));
  constraint.Commit(kClose);
  EXPECT_EQ(Ids(constraint.Mask()), (Set{-1}));
  SetReasoning(true, 0);
  EXPECT_EQ(Ids(Make().Mask()), (Set{kClose}));
}

TEST_F(TokenConstraintTest, GraceLetsTheLineEnd) {
  SetReasoning(true, 1, 5);
  TokenConstraint constraint = Make();
  constraint.Commit(4);
  EXPECT_EQ(Ids(constraint.Mask()), (Set{-1}));
  constraint.Commit(3);
  EXPECT_EQ(Ids(constraint.Mask()), (Set{kClose}));
  SetReasoning(true, 1, 2);
  TokenConstraint long_line = Make();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ids(long_line.Mask()), (Set{-1}));
    long_line.Commit(4);
  }
  EXPECT_EQ(Ids(long_line.Mask()), (Set{kClose}));
}

TEST_F(TokenConstraintTest, BadWordsAreNotSaid) {
  spec_.bad_words = {{4}, {0, 1, 0}};
  TokenConstraint constraint = Make();
  const auto forbids = [&](int id) { return !Ids(constraint.Mask()).contains(id); };
  EXPECT_TRUE(forbids(4));
  EXPECT_FALSE(forbids(0));
  for (int token : {2, 0, 1}) constraint.Commit(token);
  EXPECT_TRUE(forbids(0));
  constraint.Commit(1);
  EXPECT_FALSE(forbids(0));
}

TEST_F(TokenConstraintTest, DeadEndsEndTheSequence) {
  SetRegex("x");
  spec_.bad_words = {{4}};
  EXPECT_EQ(Ids(Make().Mask()), (Set{kEnd}));
}

}  // namespace
}  // namespace braid
