#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/test_mutations.h"
#include "engine/grammar/test_recogniser.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(const std::string& source) {
  const auto grammar = EbnfGrammar(source);
  EXPECT_FALSE(grammar.ok()) << source;
  return std::string(grammar.status().message());
}

TEST(Ebnf, NamesTheLineOfAnError) {
  EXPECT_THAT(ErrorOf("root ::= \"a\"\n\nb ::= missing"), HasSubstr("line 3: rule missing is not defined"));
  EXPECT_THAT(ErrorOf("root ::= \"a\n"), HasSubstr("line 1: a text is not closed"));
  EXPECT_THAT(ErrorOf("# one\nroot ::= (\"a\"\n"), HasSubstr("the group opened on line 2"));
  EXPECT_THAT(ErrorOf("root ::= a\na ::= \"x\"\na ::= \"y\""), HasSubstr("line 3: rule a is defined twice"));
  EXPECT_THAT(ErrorOf("root ::= [b-a]"), HasSubstr("out of order"));
  EXPECT_THAT(ErrorOf("root ::= \"a\"{3,2}"), HasSubstr("{3,2} are out of order"));
  EXPECT_THAT(ErrorOf("root ::= \"\\q\""), HasSubstr("unknown escape"));
  EXPECT_THAT(ErrorOf("start ::= \"a\""), HasSubstr("no rule is called root"));
  EXPECT_THAT(ErrorOf("root = \"a\""), HasSubstr("want `name ::= ...`"));
  EXPECT_THAT(ErrorOf("root ::= ((\"a\"{1000}){1000}){1000}"), HasSubstr("counts multiply"));
  EXPECT_THAT(ErrorOf("root ::= a b\na ::= b\nb ::= a"), HasSubstr("without end"));
}

TEST(Ebnf, RulesGoOnOverLines) {
  const auto grammar =
      EbnfGrammar("root ::= item\n  | \"(\" # open\n    root\n    \")\"\nitem ::= [a-z] |\n .\"!\"{2}\n");
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  for (const char* text : {"a", "(a)", "\n!!", "((é!!))"}) EXPECT_TRUE(Recognises(*grammar, text)) << text;
  for (const char* text : {"", "(a", "A", "!!"}) EXPECT_FALSE(Recognises(*grammar, text)) << text;
}

TEST(Ebnf, MutationsAreReadOrRefused) {
  const std::vector<std::string> good = {
      "root ::= expr\nexpr ::= term (\"+\" term)*\nterm ::= num | \"(\" expr \")\"\nnum ::= [0-9]+",
      "root ::= a-rule b_rule # tail\na-rule ::= [^\"\\\\\\x00-\\x1f]{2,3}\nb_rule ::= \"\\u00e9\\n\"? | .",
      "root ::= (\n  \"a\"\n  | \"b\"{2,}\n) root | \"\""};
  int read = 0;
  ForMutations(good, 20'000, [&](const std::string& source) {
    const auto grammar = EbnfGrammar(source);
    read += grammar.ok() ? 1 : 0;
    EXPECT_TRUE(grammar.ok() || absl::IsInvalidArgument(grammar.status())) << grammar.status();
  });
  EXPECT_GT(read, 1'000);
}

}  // namespace
}  // namespace braid
