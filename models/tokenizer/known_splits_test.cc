#include "models/tokenizer/known_splits.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "kernels/base/utf8.h"
#include "models/tokenizer/pattern.h"

namespace braid {
namespace {

const std::string_view kExpressions[] = {kGpt2Expression,     kLlama3Expression,      kQwen2Expression,
                                         kQwen35Expression,   kTekkenExpression,      kO200kExpression,
                                         kDeepSeekExpression, kThreeDigitsExpression, kHanKanaExpression};

std::vector<std::string> Matches(const Pattern& pattern, const std::string& text) {
  std::vector<std::string> matches;
  size_t done = 0;
  std::optional<size_t> last_end;
  while (const auto match = pattern.Next(text, done, last_end)) {
    matches.push_back(text.substr(match->begin, match->size()));
    last_end = done = match->end;
  }
  return matches;
}

// Characters of every kind that the expressions tell apart, the awkward ones often.
std::string RandomText(std::mt19937* random) {
  static const std::vector<std::string> kParts = {
      "a",      "b",          "A",          "Z",      "'s",     "'S",     "'ll",    "'lL",    "'\u017F",
      "'",      "re",         "1",          "23",     " ",      " ",      " ",      "\n",     "\r\n",
      "\t",     "/",          "//",         "!",      "+",      "$",      "_",      "\u00E9", "\u0301",
      "\u0308", "\u01C5",     "\u02B0",     "\u4E2D", "\u3042", "\u30FC", "\u3000", "\u00A0", "\u200D",
      "\u2028", "\u0085",     "\u0661",     "\u00B2", "\u2163", "\u0391", "\u03C3", "\u05D0", "\u20AC",
      "\u3001", "\U0001F600", "\U0001D400", "\u0E33", "\u0001", "\uFFFD", "\u0378", "\u9FA6", "\u200B",
      "\u180E", "\uFEFF",     "'d",         "'ve",    "'t",     "x",      "y"};
  std::string text;
  for (size_t n = (*random)() % 24 + 1; n > 0; --n) text += kParts[(*random)() % kParts.size()];
  return text;
}

TEST(KnownSplits, MatchAsTheirExpressionsDo) {
  std::mt19937 random(11);
  for (const std::string_view expression : kExpressions) {
    ASSERT_NE(KnownMatcherOf(expression), nullptr) << expression;
    const Pattern by_hand = Pattern::Known(KnownMatcherOf(expression));
    // In a group the expression means the same and is not recognised.
    const auto by_engine = Pattern::Expression("(?:" + std::string(expression) + ")");
    ASSERT_TRUE(by_engine.ok()) << by_engine.status().ToString();
    ASSERT_EQ(by_engine->known(), nullptr);
    for (int i = 0; i < 20'000; ++i) {
      const std::string text = RandomText(&random);
      ASSERT_EQ(Matches(by_hand, text), Matches(*by_engine, text)) << expression << "\n" << text;
    }
  }
}

TEST(KnownSplits, EveryCharacterIsClassedAsTheRegexEngineDoes) {
  const std::pair<const char*, CharClass> kClasses[] = {
      {R"(\p{L})", kLetter},      {R"(\p{N})", kNumber},         {R"(\s)", kSpace},    {R"(\p{M})", kMark},
      {R"(\p{P})", kPunctuation}, {R"([\p{Lu}\p{Lt}])", kUpper}, {R"(\p{Ll})", kLower}};
  // The engine's tables may be of an older Unicode version: only what it knows is compared.
  std::string all;
  const auto unassigned = Pattern::Expression(R"(\p{Cn})");
  ASSERT_TRUE(unassigned.ok());
  for (char32_t c = 1; c < 0x110000; ++c) {
    std::string character;
    AppendUtf8(c, &character);
    if ((c < 0xD800 || c > 0xDFFF) && !unassigned->Next(character, 0, {})) all += character;
  }
  for (const auto& [expression, wanted] : kClasses) {
    const auto pattern = Pattern::Expression(expression);
    ASSERT_TRUE(pattern.ok());
    EXPECT_EQ(Matches(*pattern, all), Matches(Pattern::OneOf(wanted), all)) << expression;
  }
}

}  // namespace
}  // namespace braid
