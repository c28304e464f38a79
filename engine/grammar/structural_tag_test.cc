#include "engine/grammar/structural_tag.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "engine/grammar/matcher.h"
#include "engine/grammar/test_mutations.h"
#include "engine/grammar/test_recogniser.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

absl::StatusOr<Grammar> Made(const Json& tag, const std::vector<std::string>& markers = {}) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  const absl::StatusOr<int32_t> node = AddStructuralTag(tag, {.markers = markers, .json = {}}, &builder);
  if (!node.ok()) return node.status();
  builder.Define(root, *node);
  return builder.Take();
}

Json Parsed(const std::string& text) {
  auto json = ParseJson(text);
  CHECK(json.ok()) << json.status() << " " << text;
  return *std::move(json);
}

// Of {"format": `format`}.
void Expect(const std::string& format, const std::vector<std::string>& good, const std::vector<std::string>& bad) {
  const auto grammar = Made(Json{{"type", "structural_tag"}, {"format", Parsed(format)}});
  ASSERT_TRUE(grammar.ok()) << format << ": " << grammar.status();
  for (const std::string& text : good) EXPECT_TRUE(Recognises(*grammar, text)) << format << ": " << text;
  for (const std::string& text : bad) EXPECT_FALSE(Recognises(*grammar, text)) << format << ": " << text;
}

std::string ErrorOf(const std::string& tag) {
  const auto grammar = Made(Parsed(tag));
  EXPECT_EQ(grammar.status().code(), absl::StatusCode::kInvalidArgument) << tag;
  return std::string(grammar.status().message());
}

std::string FormatError(const std::string& format) { return ErrorOf(R"({"format":)" + format + "}"); }

const char kLegacy[] = R"({"type":"structural_tag","triggers":["<f="],"structures":[
    {"begin":"<f=add>","schema":{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"],"additionalProperties":false},"end":"</f>"},
    {"begin":"<f=now>","schema":{"type":"object","additionalProperties":false},"end":"</f>"}]})";

TEST(StructuralTag, OfTriggersAndStructures) {
  const auto grammar = Made(Parsed(kLegacy));
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  for (const char* text : {"", "free text", "a < b, <f, f=", "<f=add>{\"a\": 1}</f>", "one <f=now>{}</f> two <f=add>{\"a\":2}</f>", "é<<f=now>{}</f>"}) {
    EXPECT_TRUE(Recognises(*grammar, text)) << text;
  }
  for (const char* text : {"<f=", "<f=sub>{}</f>", "<f=add>{}</f>", "x <f=add>{\"a\": \"1\"}</f>", "<f=now>{}", "<f=now>{}</f><f=", "<f=now>{} </f>x<f=add>"}) {
    EXPECT_FALSE(Recognises(*grammar, text)) << text;
  }
}

TEST(StructuralTag, SingleTexts) {
  Expect(R"({"type":"const_string","value":"a.b"})", {"a.b"}, {"", "axb", "a.bc"});
  Expect(R"({"type":"json_schema","json_schema":{"type":"integer"},"style":"json","any_order":false})", {"12"}, {"x", ""});
  Expect(R"({"type":"regex","pattern":"[a-c]{2}"})", {"ab"}, {"a", "abc", "xd"});
  Expect(R"({"type":"grammar","grammar":"root ::= pair pair\npair ::= \"(\" root? \")\""})", {"()()", "(()())()"}, {"()", ""});
  Expect(R"({"type":"any_text"})", {"", "a\nbé"}, {});
  Expect(R"({"type":"any_text","excludes":["no","nein"]})", {"", "n o", "nei"}, {"no", "a nein"});
}

TEST(StructuralTag, ComposedOnes) {
  const std::string a = R"({"type":"const_string","value":"a"})", b = R"({"type":"const_string","value":"b"})";
  Expect(R"({"type":"sequence","elements":[)" + a + "," + b + "]}", {"ab"}, {"a", "ba", ""});
  Expect(R"({"type":"or","elements":[)" + a + "," + b + "]}", {"a", "b"}, {"ab", ""});
  Expect(R"({"type":"optional","content":)" + a + "}", {"", "a"}, {"aa"});
  Expect(R"({"type":"plus","content":)" + a + "}", {"a", "aaa"}, {"", "ab"});
  Expect(R"({"type":"star","content":)" + a + "}", {"", "aaa"}, {"b"});
  Expect(R"({"type":"repeat","min":2,"max":3,"content":)" + a + "}", {"aa", "aaa"}, {"a", "aaaa"});
  Expect(R"({"type":"repeat","min":1,"max":-1,"content":)" + a + "}", {"a", "aaaaa"}, {""});
  Expect(R"({"type":"repeat","min":0,"max":0,"content":)" + a + "}", {""}, {"a"});
}

TEST(StructuralTag, FreeTextInATagEndsWhereTheTagDoes) {
  Expect(R"({"type":"tag","begin":"<t>","content":{"type":"any_text"},"end":"</t>"})", {"<t></t>", "<t>a < /t</t>"}, {"<t>", "<t></t></t>", "x<t></t>"});
  Expect(R"({"type":"tag","begin":"","content":{"type":"any_text"},"end":["]]","."]})", {"]]", "a.", "a]."}, {"a..", "a.]]", "]]]"});
  Expect(R"({"type":"tag","begin":"[","content":{"type":"any_text"},"end":"]]"})", {"[a]]", "[]]"}, {"[a]]]", "[]]]"});
  // A row in a tag: the first text knows the end too.
  Expect(R"t({"type":"tag","begin":"(","end":")","content":{"type":"sequence","elements":[{"type":"any_text"},{"type":"const_string","value":"!"}]}})t",
         {"(a!)", "(!!)"}, {"(a)!)", "(a)"});
}

TEST(StructuralTag, ControlsOfTriggeredTags) {
  const std::string tags = R"("type":"triggered_tags","triggers":["<"],"tags":[{"type":"tag","begin":"<a>","content":{"type":"const_string","value":"1"},"end":";"},
                             {"begin":"<b>","content":{"type":"regex","pattern":"[0-9]*"},"end":";"}])";
  Expect("{" + tags + "}", {"", "x", "x<a>1;y<b>;z", "<a>1;<a>1;"}, {"<", "<a>2;", "<c>"});
  Expect("{" + tags + R"(,"at_least_one":true})", {"<a>1;", "<a>1;x<b>2;y"}, {"", "x<a>1;", "x"});
  Expect("{" + tags + R"(,"stop_after_first":true})", {"", "x", "x<a>1;", "<b>22;"}, {"<a>1;x", "<a>1;<a>1;"});
  Expect("{" + tags + R"(,"at_least_one":true,"stop_after_first":true})", {"<a>1;", "<b>3;"}, {"", "x<a>1;", "<a>1;x"});
  Expect("{" + tags + R"(,"excludes":["no"]})", {"n<a>1;o"}, {"no", "x<a>1;no"});
  Expect(R"({"type":"tag","begin":"[","end":"]","content":{)" + tags + "}}", {"[]", "[x<a>1;y]"}, {"[x]y]", "[<a>1;]<a>1;]"});
}

TEST(StructuralTag, TagsAloneAndDispatch) {
  const std::string tags = R"("type":"tags_with_separator","separator":", ","tags":[{"begin":"a","content":{"type":"const_string","value":"1"},"end":""}])";
  Expect("{" + tags + "}", {"", "a1", "a1, a1"}, {"a1,", "a1 a1", "x"});
  Expect("{" + tags + R"(,"at_least_one":true})", {"a1", "a1, a1, a1"}, {""});
  Expect("{" + tags + R"(,"at_least_one":true,"stop_after_first":true})", {"a1"}, {"", "a1, a1"});
  const std::string rules = R"("type":"dispatch","rules":[["a=",{"type":"regex","pattern":"[0-9]"}],["b=",{"type":"const_string","value":"x"}]])";
  Expect("{" + rules + "}", {"", "so a=1 and b=x and a=2", "a = 3"}, {"a=x", "b=y", "a="});
  Expect("{" + rules + R"(,"loop":false,"excludes":["!"]})", {"go a=1", "no"}, {"a=1.", "!"});
}

// Against a reader that looks for the first trigger.
TEST(StructuralTag, TheFirstTriggerCounts) {
  const auto grammar = Made(Parsed(R"({"format":{"type":"triggered_tags","triggers":["aa","ba"],"tags":[
      {"begin":"aab","content":{"type":"const_string","value":"c"},"end":"a"},{"begin":"ba","content":{"type":"const_string","value":""},"end":"b"}]}})"));
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  const std::function<bool(std::string_view)> reads = [&](std::string_view text) {
    const size_t a = text.find("aa"), b = text.find("ba"), first = std::min(a, b);
    if (first == std::string_view::npos) return true;
    const std::string_view rest = text.substr(first), tag = a < b ? "aabca" : "bab";
    return rest.starts_with(tag) && reads(rest.substr(tag.size()));
  };
  int accepted = 0;
  for (int code = 0; code < 6561 * 3; ++code) {  // every text of nine letters
    std::string text;
    for (int i = 0, rest = code; i < 9; ++i, rest /= 3) text.push_back("abc"[rest % 3]);
    const bool wanted = reads(text);
    accepted += wanted;
    ASSERT_EQ(Recognises(*grammar, text), wanted) << text;
  }
  EXPECT_GT(accepted, 200);
}

TEST(StructuralTag, NamesWhatIsWrong) {
  EXPECT_THAT(ErrorOf("{}"), HasSubstr("structural_tag: must hold a format, or structures and triggers"));
  EXPECT_THAT(ErrorOf(R"({"format":1})"), HasSubstr("structural_tag.format: must be an object"));
  EXPECT_THAT(ErrorOf(R"({"format":{"type":"any_text"},"extra":1})"), HasSubstr("structural_tag.extra: is not supported"));
  EXPECT_THAT(ErrorOf(R"({"structures":[],"triggers":["a"]})"), HasSubstr("structural_tag.structures: must be a list that is not empty"));
  EXPECT_THAT(ErrorOf(R"({"structures":[{"begin":"a","end":"b"}],"triggers":["a"]})"), HasSubstr("structures[0].schema: must be a JSON schema"));
  EXPECT_THAT(ErrorOf(R"({"structures":[{"begin":"a","schema":{},"end":"b"}],"triggers":[]})"), HasSubstr("structural_tag.triggers: must be a list"));
  EXPECT_THAT(ErrorOf(R"({"structures":[{"begin":"a","schema":{"type":"x"},"end":"b"}],"triggers":["a"]})"), HasSubstr("structures[0].schema: "));
  EXPECT_THAT(FormatError(R"({"type":"token","token":1})"), HasSubstr("format.type: must be one of const_string, json_schema"));
  EXPECT_THAT(FormatError(R"({"type":"any_text","max_tokens":3})"), HasSubstr("format.max_tokens: is not supported here"));
  EXPECT_THAT(FormatError(R"({"type":"any_text","excludes":[""]})"), HasSubstr("excludes[0]: must be a string that is not empty"));
  EXPECT_THAT(FormatError(R"({"type":"json_schema","json_schema":{},"style":"qwen_xml"})"), HasSubstr("style: must be \"json\""));
  EXPECT_THAT(FormatError(R"({"type":"regex","pattern":"("})"), HasSubstr("format.pattern: "));
  EXPECT_THAT(FormatError(R"({"type":"grammar","grammar":"x"})"), HasSubstr("format.grammar: "));
  EXPECT_THAT(FormatError(R"({"type":"sequence","elements":[{"type":"const_string"}]})"), HasSubstr("elements[0].value: must be a string"));
  EXPECT_THAT(FormatError(R"({"type":"repeat","min":3,"max":2,"content":{"type":"any_text"}})"), HasSubstr("max: must be -1 or at least min (3)"));
  EXPECT_THAT(FormatError(R"({"type":"repeat","min":1,"max":70000,"content":{"type":"any_text"}})"), HasSubstr("from -1 to 65536"));
  EXPECT_THAT(FormatError(R"({"type":"repeat","min":1,"max":300,"content":{"type":"repeat","min":1,"max":300,"content":{"type":"any_text"}}})"),
              HasSubstr("multiply to more than 65536"));
  EXPECT_THAT(FormatError(R"({"type":"tag","begin":"a","content":{"type":"any_text"}})"), HasSubstr("format.end: must be a string or a list of strings"));
  EXPECT_THAT(FormatError(R"({"type":"tag","begin":{"type":"token","token":1},"content":{"type":"any_text"},"end":""})"), HasSubstr("format.begin: must be a string"));
  const std::string tags = R"("type":"triggered_tags","tags":[{"begin":"<ab>","content":{"type":"any_text"},"end":";"}])";
  EXPECT_THAT(FormatError("{" + tags + R"(,"triggers":["x"]})"), HasSubstr("must have one of them as its prefix, not 0"));
  EXPECT_THAT(FormatError("{" + tags + R"(,"triggers":["<","<a"]})"), HasSubstr("prefix, not 2"));
  EXPECT_THAT(FormatError("{" + tags + R"(,"triggers":["<","x"]})"), HasSubstr("no tag begins with \"x\""));
  EXPECT_THAT(FormatError("{" + tags + R"(,"triggers":["<"],"at_least_one":1})"), HasSubstr("at_least_one: must be true or false"));
  EXPECT_THAT(FormatError(R"({"type":"dispatch","rules":[["a"]]})"), HasSubstr("rules[0]: must be [text, format]"));
}

// ids 0..127 are those bytes; 128 is the special token "<call>".
TEST(StructuralTag, SpecialTokensInFixedTextsAreTokens) {
  const std::vector<std::string> markers = {"<call>"};
  const auto grammar = Made(Parsed(R"({"format":{"type":"triggered_tags","triggers":["<call>"],"tags":[
      {"begin":"<call>f","content":{"type":"json_schema","json_schema":{"type":"boolean"}},"end":";"}]}})"), markers);
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  std::vector<std::string> bytes;
  for (int i = 0; i < 128; ++i) bytes.push_back(std::string(1, static_cast<char>(i)));
  bytes.push_back("<call>");
  bytes.push_back("<end>");
  std::vector<bool> special(bytes.size());
  special[128] = special[129] = true;
  const auto compiled = CompiledGrammar::Compile(*grammar, TokenVocabulary::Make(bytes, special, {129}));
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  GrammarMatcher matcher(*compiled);
  const auto accepts = [&](std::string_view text) {
    for (const char c : text) {
      if (!matcher.AcceptToken(c)) return false;
    }
    return true;
  };
  EXPECT_TRUE(accepts("say <call"));
  EXPECT_FALSE(matcher.AcceptToken('>'));  // the token's text is no way to say it
  EXPECT_TRUE(accepts(" "));
  EXPECT_TRUE(matcher.CanEnd());
  ASSERT_TRUE(matcher.AcceptToken(128));
  EXPECT_FALSE(matcher.CanEnd());
  std::vector<uint32_t> words(5);
  matcher.FillMask(words);
  EXPECT_EQ(words, (std::vector<uint32_t>{0, 0, 0, 1u << ('f' - 96), 0}));
  EXPECT_TRUE(accepts("ftrue;"));
  EXPECT_TRUE(matcher.CanEnd());
  EXPECT_TRUE(accepts(" more"));
}

TEST(StructuralTag, MutationsAreReadOrRefused) {
  const std::vector<std::string> good = {
      kLegacy,
      R"({"format":{"type":"sequence","elements":[{"type":"tag","begin":"<t>","content":{"type":"any_text","excludes":["x"]},"end":["</t>","."]},
          {"type":"or","elements":[{"type":"regex","pattern":"a+"},{"type":"repeat","min":1,"max":3,"content":{"type":"const_string","value":"v"}}]}]}})",
      R"({"format":{"type":"dispatch","loop":false,"rules":[["a=",{"type":"grammar","grammar":"root ::= \"y\""}],["b",{"type":"star","content":{"type":"json_schema","json_schema":true}}]]}})"};
  int read = 0, parsed = 0;
  ForMutations(good, 10'000, [&](const std::string& text) {
    const auto json = ParseJson(text);
    if (!json.ok()) return;
    ++parsed;
    const auto grammar = Made(*json);
    read += grammar.ok();
    EXPECT_TRUE(grammar.ok() || absl::IsInvalidArgument(grammar.status())) << grammar.status();
  });
  EXPECT_GT(parsed, 500);
  EXPECT_GT(read, 200);
  EXPECT_LT(read, parsed);
}

}  // namespace
}  // namespace braid
