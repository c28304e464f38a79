#include "engine/grammar/token_constraint.h"

#include "engine/grammar/test_constraint.h"

namespace braid {
namespace {

class TokenConstraintTest : public testing::ConstraintTest {};

using testing::kEnd, testing::kClose, testing::kOpen;
using Set = std::set<int>;

TEST_F(TokenConstraintTest, GrammarBindsEveryToken) {
  SetRegex("ab+");
  TokenConstraint constraint = Make();
  EXPECT_EQ(Ids(constraint), (Set{0, 2}));
  constraint.Commit(2);
  EXPECT_EQ(Ids(constraint), (Set{1, kEnd}));
  EXPECT_FALSE(constraint.MustEnd());
}

TEST_F(TokenConstraintTest, GrammarWaitsForTheEndOfTheReasoning) {
  SetRegex("ab");
  SetReasoning(true, -1);
  TokenConstraint constraint = Make();
  for (int token : {4, 0, 3}) {
    EXPECT_EQ(Ids(constraint), (Set{-1}));
    constraint.Commit(token);
  }
  constraint.Commit(7);  // "</" and "think>": the marker spelled in two tokens
  constraint.Commit(8);
  EXPECT_EQ(Ids(constraint), (Set{0, 2}));
  constraint.Commit(2);
  EXPECT_TRUE(constraint.MustEnd());
  EXPECT_EQ(Ids(constraint), (Set{kEnd}));
}

TEST_F(TokenConstraintTest, ModelMayOpenItsReasoning) {
  SetRegex("ab");
  SetReasoning(false, -1);
  TokenConstraint constraint = Make();
  EXPECT_EQ(Ids(constraint), (Set{0, 2, kOpen}));
  constraint.Commit(kOpen);
  EXPECT_EQ(Ids(constraint), (Set{-1}));
  constraint.Commit(kClose);
  EXPECT_EQ(Ids(constraint), (Set{0, 2}));
}

TEST_F(TokenConstraintTest, BudgetClosesTheReasoning) {
  SetReasoning(true, 2);
  TokenConstraint constraint = Make();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ids(constraint), (Set{-1}));
    constraint.Commit(4);
  }
  EXPECT_EQ(Ids(constraint), (Set{kClose}));
  constraint.Commit(kClose);
  EXPECT_EQ(Ids(constraint), (Set{-1}));
  SetReasoning(true, 0);
  EXPECT_EQ(Ids(Make()), (Set{kClose}));
}

TEST_F(TokenConstraintTest, GraceLetsTheLineEnd) {
  SetReasoning(true, 1, 5);
  TokenConstraint constraint = Make();
  constraint.Commit(4);
  EXPECT_EQ(Ids(constraint), (Set{-1}));
  constraint.Commit(3);
  EXPECT_EQ(Ids(constraint), (Set{kClose}));
  SetReasoning(true, 1, 2);
  TokenConstraint long_line = Make();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Ids(long_line), (Set{-1}));
    long_line.Commit(4);
  }
  EXPECT_EQ(Ids(long_line), (Set{kClose}));
}

TEST_F(TokenConstraintTest, BadWordsAreNotSaid) {
  spec_.bad_words = {{4}, {0, 1, 0}};
  TokenConstraint constraint = Make();
  const auto forbids = [&](int id) { return !Ids(constraint).contains(id); };
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
  EXPECT_EQ(Ids(Make()), (Set{kEnd}));
}

TEST_F(TokenConstraintTest, CommitSaysWhatMayNotCome) {
  SetRegex("(ab)+");
  spec_.bad_words = {{2, 2}};
  TokenConstraint constraint = Make();
  EXPECT_TRUE(constraint.Commit(0));
  EXPECT_FALSE(TokenConstraint(constraint).Commit(0));
  EXPECT_FALSE(TokenConstraint(constraint).Commit(kEnd));
  EXPECT_TRUE(constraint.Commit(1));
  EXPECT_TRUE(constraint.Commit(2));
  EXPECT_FALSE(TokenConstraint(constraint).Commit(2));  // a bad word
  EXPECT_TRUE(constraint.Commit(kEnd));
  SetReasoning(true, 0);
  EXPECT_FALSE(Make().Commit(4));
  EXPECT_TRUE(Make().Commit(kClose));
}

using Tokens = std::vector<int32_t>;

TEST_F(TokenConstraintTest, ForcedTextIsSpelledInTheFewestTokensFromTheLeft) {
  SetRegex("x(abab a|abab ab)x*");
  const TokenConstraint constraint = Make();
  EXPECT_EQ(constraint.Forced(9), (Tokens{4, 2, 2, 9}));
  EXPECT_EQ(constraint.Forced(2), (Tokens{4, 2}));
  EXPECT_EQ(constraint.Forced(0), Tokens());
  SetRegex("a(b|x)");
  TokenConstraint branching = Make();
  EXPECT_EQ(branching.Forced(9), Tokens{0});
  branching.Commit(0);
  EXPECT_EQ(branching.Forced(9), Tokens());
  branching.Commit(1);
  EXPECT_EQ(branching.Forced(9), Tokens());  // the end is drawn, not guessed
  SetRegex("qa");                            // no token says q
  EXPECT_EQ(Make().Forced(9), Tokens());
}

TEST_F(TokenConstraintTest, AnAnswerIsNotForcedWhereReasoningMayComeFirst) {
  SetRegex("ab");
  SetReasoning(false, -1);
  TokenConstraint constraint = Make();
  EXPECT_EQ(constraint.Forced(4), Tokens());
  constraint.Commit(0);
  EXPECT_EQ(constraint.Forced(4), Tokens{1});
  SetReasoning(true, 1);
  spec_.closing_ids = {7, 8};
  TokenConstraint inside = Make();
  EXPECT_EQ(inside.Forced(4), Tokens());
  inside.Commit(4);
  EXPECT_EQ(inside.Forced(4), (Tokens{7, 8}));
  EXPECT_EQ(inside.Forced(1), Tokens{7});
  inside.Commit(7);
  EXPECT_EQ(inside.Forced(4), Tokens{8});
  inside.Commit(8);
  EXPECT_EQ(inside.Forced(4), Tokens{2});
}

}  // namespace
}  // namespace braid
