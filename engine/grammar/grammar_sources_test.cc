#include "engine/grammar/grammar_sources.h"

#include <gtest/gtest.h>

#include "engine/grammar/test_recogniser.h"

namespace braid {
namespace {

TEST(GrammarSources, ChoicesAreTheirTextsAndNoOthers) {
  const std::vector<std::string> choices = {"yes", "yesterday", "no", "", "né", "yes"};
  const auto grammar = ChoiceGrammar(choices);
  ASSERT_TRUE(grammar.ok());
  for (const std::string& choice : choices) EXPECT_TRUE(Recognises(*grammar, choice)) << choice;
  for (const char* text : {"y", "yest", "yesno", "n", "nén"}) EXPECT_FALSE(Recognises(*grammar, text)) << text;
  EXPECT_FALSE(ChoiceGrammar({}).ok());
}

TEST(GrammarSources, ManyChoicesStaySmall) {
  std::vector<std::string> choices;
  std::string longest;
  for (int i = 0; i < 20'000; ++i) choices.push_back("choice number " + std::to_string(i));
  for (int i = 0; i < 500; ++i) choices.push_back(longest += 'a');
  const auto grammar = ChoiceGrammar(choices);
  ASSERT_TRUE(grammar.ok());
  EXPECT_LT(grammar->nodes.size(), 60'000u);
  EXPECT_TRUE(Recognises(*grammar, "choice number 19999"));
  EXPECT_TRUE(Recognises(*grammar, longest));
  EXPECT_FALSE(Recognises(*grammar, "choice number 20000"));
}

TEST(GrammarSources, JsonModeIsAnyObject) {
  const Grammar grammar = AnyJsonObjectGrammar();
  for (const char* text : {"{}", "{ }", R"({"a": [1, -2.5e-3, {"b": "\u00e9\n"}], "c": null})", "{\n  \"a\": []\n}"}) {
    EXPECT_TRUE(Recognises(grammar, text)) << text;
  }
  for (const char* text :
       {"", "[]", "1", R"({"a": 01})", R"({"a": 1,})", R"({a: 1})", "{\"a\": \"\n\"}", R"({"a": .5})"}) {
    EXPECT_FALSE(Recognises(grammar, text)) << text;
  }
}

TEST(GrammarSources, GrammarsArePartsOfLargerOnes) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  const auto schema = AddJsonSchema(*ParseJson(R"({"type": "integer"})"), {}, &builder);
  const auto regex = AddRegex("[a-z]+", &builder);
  ASSERT_TRUE(schema.ok() && regex.ok());
  builder.Define(root, builder.Sequence({builder.Marker("<call>"), *regex, builder.Literal("="), *schema}));
  const Grammar grammar = builder.Take();
  EXPECT_TRUE(Recognises(grammar, "<call>abc=12"));
  EXPECT_FALSE(Recognises(grammar, "<call>=12"));
}

}  // namespace
}  // namespace braid
