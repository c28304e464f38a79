#include "engine/grammar/regex.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/test_mutations.h"
#include "engine/grammar/test_recogniser.h"
#include "engine/grammar/text_dfa.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

bool Matches(const std::string& pattern, const std::string& text) {
  const auto grammar = RegexGrammar(pattern);
  EXPECT_TRUE(grammar.ok()) << pattern << ": " << grammar.status();
  return grammar.ok() && Recognises(*grammar, text);
}

std::string ErrorOf(const std::string& pattern) {
  const auto regex = ParseRegex(pattern);
  EXPECT_FALSE(regex.ok()) << pattern;
  return std::string(regex.status().message());
}

TEST(Regex, RefusesByNameWhatIsNotRegular) {
  EXPECT_THAT(ErrorOf("(a)\\1"), HasSubstr("column 4: back references"));
  EXPECT_THAT(ErrorOf("(?P<x>a)(?P=x)"), HasSubstr("back references"));
  EXPECT_THAT(ErrorOf("(?=a)"), HasSubstr("lookahead"));
  EXPECT_THAT(ErrorOf("(?<!a)"), HasSubstr("lookbehind"));
  EXPECT_THAT(ErrorOf("\\bword"), HasSubstr("word boundaries"));
  EXPECT_THAT(ErrorOf("a++"), HasSubstr("possessive"));
  EXPECT_THAT(ErrorOf("(?>a)"), HasSubstr("atomic"));
  EXPECT_THAT(ErrorOf("\\p{L}"), HasSubstr("Unicode properties"));
  EXPECT_THAT(ErrorOf("(a{1,1000}){1,1000}"), HasSubstr("counts multiply"));
}

TEST(Regex, NamesTheColumnOfAnError) {
  EXPECT_THAT(ErrorOf("ab)"), HasSubstr("column 3"));
  EXPECT_THAT(ErrorOf("é["), HasSubstr("column 3: a class is not closed"));
  EXPECT_THAT(ErrorOf("a{5,2}"), HasSubstr("{5,2} are out of order"));
  EXPECT_THAT(ErrorOf("\\q"), HasSubstr("unknown escape \\q"));
  EXPECT_THAT(ErrorOf("[]a]"), HasSubstr("two ways"));
  EXPECT_THAT(ErrorOf("a{,3}"), HasSubstr("two ways"));
  EXPECT_THAT(ErrorOf("\xff"), HasSubstr("not UTF-8"));
}

TEST(Regex, ReadsWhatBothDialectsHave) {
  EXPECT_TRUE(Matches("(?P<year>\\d{4})-(?<month>\\d\\d)(?#note)", "2024-01"));
  EXPECT_TRUE(Matches("\\u{1F642}\\uD83D\\uDE42\\U0001F642", "🙂🙂🙂"));
  EXPECT_TRUE(Matches("a{x}{", "a{x}{"));
  EXPECT_TRUE(Matches("[\\w-.]+", "a-."));
  EXPECT_TRUE(Matches("(?s).", "\n"));
  EXPECT_TRUE(Matches("(?i)straße|[^a]", "STRAßE"));
  EXPECT_FALSE(Matches("(?i)[^a]", "A"));
  EXPECT_TRUE(Matches("\\s", "\xC2\xA0"));
  EXPECT_FALSE(Matches("\\d", "٣"));
  EXPECT_FALSE(Matches(".", "\r"));
}

TEST(Regex, AnchorsStandAnywhere) {
  EXPECT_TRUE(Matches("(^a|b)c", "ac"));
  EXPECT_TRUE(Matches("(a|^)b$", "b"));
  EXPECT_FALSE(Matches("a^b", "ab"));
  EXPECT_TRUE(Matches("x*^b", "b"));
  EXPECT_FALSE(Matches("x*^b", "xb"));
  EXPECT_TRUE(Matches("\\Aab\\Z", "ab"));
}

TEST(Regex, IsFoundAnywhereUnlessAnchored) {
  const auto found = [](const char* pattern, const char* text) {
    return LabelOf(*RegexDfa(*ParseRegex(pattern), RegexMatch::kAnywhere), text) != 0;
  };
  EXPECT_TRUE(found("b+", "abc"));
  EXPECT_FALSE(found("^b", "abc"));
  EXPECT_TRUE(found("^a|c$", "bc"));
  EXPECT_FALSE(found("^a|c$", "bcb"));
  EXPECT_TRUE(found("", ""));
  EXPECT_TRUE(found("(^|,)x(,|$)", "a,x"));
  EXPECT_FALSE(found("(^|,)x(,|$)", "a,xx"));
}

TEST(Regex, MutationsAreReadOrRefused) {
  const std::vector<std::string> good = {"^(foo|ba[rz])+$",     "[^a-z\\d]{2,5}(?:x|y)*?", "(?i:abc)\\u00e9[\\]\\[-]+",
                                         "\\d{1,3}(\\.\\d+)?é", "(a|(b|(c|d)?)+){0,7}",    "\\x41\\cA\\0[\\b-\\n].*"};
  int read = 0;
  ForMutations(good, 20'000, [&](const std::string& pattern) {
    const auto grammar = RegexGrammar(pattern);
    read += grammar.ok() ? 1 : 0;
    EXPECT_TRUE(grammar.ok() || absl::IsInvalidArgument(grammar.status())) << grammar.status();
  });
  EXPECT_GT(read, 2'000);
}

}  // namespace
}  // namespace braid
