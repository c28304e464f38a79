#include "engine/drafting/ngram_drafter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace braid {
namespace {

using Tokens = std::vector<int32_t>;

// The same by looking at every place, the latest first.
Tokens Searched(const Tokens& tokens, int count) {
  for (size_t length = 4; length >= 2; --length) {
    for (size_t end = tokens.size() - 1; end >= length && end < tokens.size(); --end) {
      if (!std::equal(tokens.end() - length, tokens.end(), tokens.begin() + end - length)) continue;
      Tokens drafts;
      for (int i = 0; i < count; ++i) drafts.push_back(tokens[end + i % (tokens.size() - end)]);
      return drafts;
    }
  }
  return {};
}

TEST(NgramDrafter, GoesOnAsAfterTheLatestOccurrence) {
  EXPECT_EQ(NgramDrafter(Tokens{1, 2, 3, 9, 1, 2, 7, 8, 1, 2}).Propose(2), (Tokens{7, 8}));
}

TEST(NgramDrafter, LongerMatchGoesFirst) {
  EXPECT_EQ(NgramDrafter(Tokens{5, 1, 2, 3, 9, 1, 2, 7, 5, 1, 2}).Propose(1), (Tokens{3}));
}

TEST(NgramDrafter, RunsRoundWhereTheTextRepeats) {
  EXPECT_EQ(NgramDrafter(Tokens{4, 4, 4}).Propose(3), (Tokens{4, 4, 4}));
  EXPECT_EQ(NgramDrafter(Tokens{1, 2, 3, 1, 2, 3, 1, 2}).Propose(5), (Tokens{3, 1, 2, 3, 1}));
}

TEST(NgramDrafter, HasNothingToSayOfNewTokens) {
  EXPECT_TRUE(NgramDrafter(Tokens{1}).Propose(3).empty());
  EXPECT_TRUE(NgramDrafter(Tokens{1, 1}).Propose(3).empty());
  EXPECT_TRUE(NgramDrafter(Tokens{1, 2, 3, 4, 5}).Propose(3).empty());
}

TEST(NgramDrafter, FindsWhatASearchFinds) {
  std::mt19937 random(3);
  for (int run = 0; run < 200; ++run) {
    const int vocabulary = 2 + random() % 12;
    Tokens tokens(1 + random() % 30);
    for (int32_t& token : tokens) token = random() % vocabulary;
    NgramDrafter drafter(tokens);
    for (int step = 0; step < 60; ++step) {
      ASSERT_EQ(drafter.Propose(4), Searched(tokens, 4)) << "run " << run << " step " << step;
      for (int taken = 1 + random() % 3; taken > 0; --taken) {
        tokens.push_back(random() % vocabulary);
        drafter.Append(tokens.back());
      }
    }
  }
}

TEST(NgramDrafter, TakesInALongPromptSliceBySlice) {
  Tokens tokens(20'000);
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i);
  tokens.insert(tokens.end(), {15'000, 15'001, 15'002});
  NgramDrafter drafter(tokens);
  int calls = 1;
  while (drafter.Propose(1).empty() && calls < 100) ++calls;
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(drafter.Propose(2), (Tokens{15'003, 15'004}));
}

}  // namespace
}  // namespace braid
