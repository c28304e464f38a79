#include "engine/grammar/free_text.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace braid {
namespace {

using Words = std::vector<std::string>;

// Calls use(text) for every text over `letters` of at most `length` letters.
template <class Use>
void ForTexts(const std::string& letters, size_t length, const Use& use, const std::string& begun = "") {
  use(begun);
  if (begun.size() == length) return;
  for (const char letter : letters) ForTexts(letters, length, use, begun + letter);
}

size_t FirstOf(const Words& words, const std::string& text) {
  size_t first = std::string::npos;
  for (const std::string& word : words) {
    const size_t at = text.find(word);
    if (at != std::string::npos) first = std::min(first, at + word.size());
  }
  return first;
}

TEST(FreeText, HoldsNoneOfTheWords) {
  for (const Words& words : {Words{"aa"}, Words{"aba", "bb"}, Words{"ab", "b"}, Words{"aab", "abab"}}) {
    const auto free = TextWithout(words);
    ASSERT_TRUE(free.ok()) << free.status();
    ForTexts("abc", 7, [&](const std::string& text) {
      EXPECT_EQ(LabelOf(*free, text) != 0, FirstOf(words, text) == std::string::npos) << text << " without " << words[0];
    });
  }
}

TEST(FreeText, MayStandBeforeAWordThatIsThenTheFirst) {
  for (const Words& words : {Words{"aa"}, Words{"aba", "bb"}, Words{"aab", "abab"}, Words{"aa", "baab"}}) {
    const auto free = TextWithout(words);
    ASSERT_TRUE(free.ok()) << free.status();
    for (const std::string& next : words) {
      const TextDfa before = TextBefore(*free, {&next, 1});
      ForTexts("abc", 7, [&](const std::string& text) {
        const bool wanted = FirstOf(words, text) == std::string::npos && FirstOf(words, text + next) == text.size() + next.size();
        EXPECT_EQ(LabelOf(before, text) != 0, wanted) << text << " before " << next;
      });
    }
  }
}

TEST(FreeText, WordsAreTakenAsTheyAre) {
  for (const std::string word : {"<f=", "(a|b)*", "\\d", "[x]", "^$", ".", "a\nb", "né", "｜DSML｜", "{2}", "-/\"'#~`@&%,;: "}) {
    const auto free = TextWithout(Words{word});
    ASSERT_TRUE(free.ok()) << word << ": " << free.status();
    EXPECT_EQ(LabelOf(*free, "x" + word + "y"), 0u) << word;
    EXPECT_EQ(LabelOf(*free, word), 0u) << word;
    EXPECT_NE(LabelOf(*free, "xy \n z"), 0u) << word;
  }
  EXPECT_NE(LabelOf(*TextWithout({}), "any\ntext"), 0u);
}

}  // namespace
}  // namespace braid
