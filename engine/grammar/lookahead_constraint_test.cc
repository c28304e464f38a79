#include "engine/grammar/lookahead_constraint.h"

#include <random>

#include "engine/grammar/test_constraint.h"

namespace braid {
namespace {

using testing::kVocab, testing::kEnd, testing::kClose, testing::kOpen;
using Tokens = std::vector<int32_t>;

class LookaheadConstraintTest : public testing::ConstraintTest {
 protected:
  LookaheadConstraint MakeLookahead() { return {std::make_shared<ConstraintSpec>(spec_), kVocab}; }

  static std::set<int> Ids(RowMask mask) {
    if (mask.words == nullptr) return {-1};
    std::set<int> out;
    for (int id = 0; id < kVocab; ++id) {
      if (mask.words[id / 32] >> (id % 32) & 1) out.insert(id);
    }
    return out;
  }

  TokenConstraint After(const Tokens& output) {
    TokenConstraint constraint = Make();
    for (const int32_t token : output) constraint.Commit(token);
    return constraint;
  }

  // Grows a text by tokens that may come; before each, looks behind guesses of all lengths, some of which may not come.
  void Walk(uint32_t seed) {
    std::mt19937 random(seed);
    LookaheadConstraint lookahead = MakeLookahead();
    Tokens output;
    for (int step = 0; step < 20; ++step) {
      LookBehindGuesses(output, random, &lookahead);
      const std::set<int> may = ConstraintTest::Ids(After(output));
      int32_t token = random() % kVocab;
      while (!may.contains(-1) && !may.contains(token)) token = random() % kVocab;
      lookahead.Commit(token);
      output.push_back(token);
    }
  }

  void LookBehindGuesses(const Tokens& output, std::mt19937& random, LookaheadConstraint* lookahead) {
    Tokens guessed = output;
    for (int i = 0; i < 5; ++i) guessed.push_back(static_cast<int32_t>(random() % kVocab));
    if (random() % 2 == 0) {
      Tokens drafts(guessed.begin() + static_cast<ptrdiff_t>(output.size()), guessed.end());
      lookahead->Shape(5, &drafts);
      guessed.resize(output.size());
      guessed.insert(guessed.end(), drafts.begin(), drafts.end());
    }
    std::vector<std::pair<RowMask, size_t>> seen;
    for (size_t length = output.size(); length <= guessed.size(); ++length) {
      seen.emplace_back(lookahead->Behind(std::span(guessed).first(length)), length);
      const size_t again = output.size() + random() % (length - output.size() + 1);
      seen.emplace_back(lookahead->Behind(std::span(guessed).first(again)), again);
    }
    for (const auto& [mask, length] : seen) {  // valid to the end
      const TokenConstraint expected = After(Tokens(guessed.begin(), guessed.begin() + static_cast<ptrdiff_t>(length)));
      ASSERT_EQ(Ids(mask), ConstraintTest::Ids(expected));
      ASSERT_EQ(mask.must_end, expected.MustEnd());
    }
  }
};

TEST_F(LookaheadConstraintTest, MasksBehindGuessesAreThoseBehindTokens) {
  SetRegex("(ab?x|a\\n(b| a)*)*x");
  spec_.bad_words = {{2, 4}, {3}, {0, 1, 0}};
  for (uint32_t seed = 0; seed < 20; ++seed) Walk(seed);
  SetReasoning(true, 3, 2);
  spec_.closing_ids = {7, 8};
  for (uint32_t seed = 0; seed < 20; ++seed) Walk(seed);
  SetReasoning(false, 4);
  for (uint32_t seed = 0; seed < 20; ++seed) Walk(seed);
}

TEST_F(LookaheadConstraintTest, OtherGuessesForgetTheMasksOfThoseBefore) {
  SetRegex("a(ab|b(x|a))");
  LookaheadConstraint lookahead = MakeLookahead();
  EXPECT_EQ(Ids(lookahead.Behind(Tokens{0, 1, 4})), (std::set<int>{kEnd}));
  EXPECT_EQ(Ids(lookahead.Behind(Tokens{0})), (std::set<int>{0, 1, 2}));
  EXPECT_EQ(Ids(lookahead.Behind(Tokens{0, 0})), (std::set<int>{1}));
  EXPECT_EQ(Ids(lookahead.Behind(Tokens{0, 1})), (std::set<int>{0, 4}));
  EXPECT_TRUE(lookahead.Behind(Tokens{0, 1, 0}).must_end);
  EXPECT_FALSE(lookahead.Behind(Tokens()).must_end);
}

TEST_F(LookaheadConstraintTest, ShapeCutsWhatMayNotComeAndAddsWhatMust) {
  SetRegex("(a|b)xab\\n?");
  LookaheadConstraint lookahead = MakeLookahead();
  const auto shaped = [&](int count, Tokens drafts) {
    lookahead.Shape(count, &drafts);
    return drafts;
  };
  EXPECT_EQ(shaped(4, {1, 4, 2, 3}), (Tokens{1, 4, 2, 3}));
  EXPECT_EQ(shaped(4, {1, 4, 4, 4}), (Tokens{1, 4, 2}));
  EXPECT_EQ(shaped(2, {1, 4}), (Tokens{1, 4}));
  EXPECT_EQ(shaped(3, {4, 4, 4}), Tokens());  // a or b is the model's choice
  EXPECT_EQ(shaped(4, {}), Tokens());
  lookahead.Commit(0);
  EXPECT_EQ(shaped(4, {}), (Tokens{4, 2}));
  EXPECT_EQ(shaped(1, {}), Tokens{4});
  EXPECT_EQ(shaped(4, {0}), (Tokens{4, 2}));
}

TEST_F(LookaheadConstraintTest, ShapeGoesOnBehindTheEndOfTheReasoning) {
  SetRegex("xab");
  SetReasoning(true, 0);
  spec_.closing_ids = {7, 8};
  LookaheadConstraint lookahead = MakeLookahead();
  Tokens drafts = {4};
  lookahead.Shape(8, &drafts);
  EXPECT_EQ(drafts, (Tokens{7, 8, 4, 2}));
}

TEST_F(LookaheadConstraintTest, GuessesLieInsideTheLogits) {
  SetRegex("xab");
  LookaheadConstraint lookahead(std::make_shared<ConstraintSpec>(spec_), 4);  // x is past them
  Tokens drafts;
  lookahead.Shape(4, &drafts);
  EXPECT_EQ(drafts, Tokens());
}

}  // namespace
}  // namespace braid
