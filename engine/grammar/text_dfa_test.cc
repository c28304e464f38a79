#include "engine/grammar/text_dfa.h"

#include <gtest/gtest.h>

#include "engine/grammar/test_recogniser.h"

namespace braid {
namespace {

TextDfa Whole(const char* pattern) { return *RegexDfa(*ParseRegex(pattern), RegexMatch::kWhole); }

bool InGrammar(const TextDfa& dfa, std::string_view text) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  builder.Define(root, AddDfa(dfa, Utf8Spelling(&builder), &builder));
  return Recognises(builder.Take(), text);
}

TEST(TextDfa, BothIsThePatternWithinTheLength) {
  const TextDfa dfa = *Both(Whole("(ab)*c?"), *LengthDfa(2, 4));
  for (const char* text : {"ab", "abab", "abc"}) EXPECT_TRUE(InGrammar(dfa, text)) << text;
  for (const char* text : {"", "c", "ababc", "ababab", "aba"}) EXPECT_FALSE(InGrammar(dfa, text)) << text;
}

TEST(TextDfa, AllButLeavesOutWholeWordsOnly) {
  const std::vector<std::string> words = {"name", "names", "né", "", "nam"};
  const TextDfa dfa = *AllBut(words);
  for (const std::string& word : words) {
    EXPECT_EQ(LabelOf(dfa, word), 0u) << word;
    EXPECT_FALSE(InGrammar(dfa, word)) << word;
  }
  for (const char* text : {"n", "na", "namesx", "ne", "née", "🙂", "x\"\\\n"})
    EXPECT_TRUE(InGrammar(dfa, text)) << text;
}

TEST(TextDfa, MarksTellWhichPatternsMatch) {
  TextDfa dfa = *LengthDfa(0, -1);
  dfa = *Mark(dfa, Whole("a.*"), 1);
  dfa = *Mark(dfa, Whole(".*b"), 2);
  EXPECT_EQ(LabelOf(dfa, "x"), 1u);
  EXPECT_EQ(LabelOf(dfa, "ax"), 3u);
  EXPECT_EQ(LabelOf(dfa, "xb"), 5u);
  EXPECT_EQ(LabelOf(dfa, "ab"), 7u);
  EXPECT_TRUE(InGrammar(Only(dfa, 3), "ax"));
  EXPECT_FALSE(InGrammar(Only(dfa, 3), "ab"));
  EXPECT_EQ(Labels(dfa), (std::vector<uint64_t>{1, 3, 5, 7}));
}

TEST(TextDfa, SmallestJoinsStatesThatBehaveAlike) {
  EXPECT_EQ(Whole("(a|b)(c|d)").num_states(), 3);
  EXPECT_TRUE(IsEmpty(*Both(Whole("a+"), Whole("b+"))));
}

TEST(TextDfa, RefusesToGrowWithoutEnd) {
  EXPECT_FALSE(RegexDfa(*ParseRegex("(a|b)*a(a|b){20}"), RegexMatch::kWhole).ok());
  EXPECT_FALSE(LengthDfa(0, 1'000'000).ok());
}

}  // namespace
}  // namespace braid
