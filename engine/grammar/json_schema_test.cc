#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/test_mutations.h"
#include "engine/grammar/test_recogniser.h"

namespace braid {
namespace {

using ::testing::HasSubstr;

Grammar Compiled(const std::string& schema) {
  const auto grammar = JsonSchemaGrammar(*ParseJson(schema));
  EXPECT_TRUE(grammar.ok()) << schema << grammar.status();
  return grammar.ok() ? *grammar : AnyJsonObjectGrammar();
}

void Check(const std::string& schema, const std::vector<std::string>& valid, const std::vector<std::string>& invalid) {
  const Grammar grammar = Compiled(schema);
  for (const std::string& text : valid) EXPECT_TRUE(Recognises(grammar, text)) << schema << " " << text;
  for (const std::string& text : invalid) EXPECT_FALSE(Recognises(grammar, text)) << schema << " " << text;
}

std::string ErrorOf(const std::string& schema) {
  const auto grammar = JsonSchemaGrammar(*ParseJson(schema));
  EXPECT_FALSE(grammar.ok()) << schema;
  return std::string(grammar.status().message());
}

TEST(JsonSchema, ErrorsNameThePlaceAndTheKeyword) {
  EXPECT_THAT(ErrorOf(R"({"properties": {"a/b": {"items": {"uniqueItems": true}}}})"),
              HasSubstr("at /properties/a~1b/items: uniqueItems: true is not supported"));
  EXPECT_THAT(ErrorOf(R"({"type": "strin"})"), HasSubstr("at its root: type: want null, boolean"));
  EXPECT_THAT(ErrorOf(R"({"minlength": 3})"), HasSubstr("want minLength"));
  EXPECT_THAT(ErrorOf(R"({"format": "idn-email"})"), HasSubstr("format: \"idn-email\" is not supported"));
  EXPECT_THAT(ErrorOf(R"x({"pattern": "(?=a)"})x"), HasSubstr("pattern: regular expression: column 4: lookahead"));
  EXPECT_THAT(ErrorOf(R"({"$ref": "#/$defs/x"})"), HasSubstr("\"#/$defs/x\" names nothing"));
  EXPECT_THAT(ErrorOf(R"({"$ref": "http://example.org/x"})"), HasSubstr("leads out of this schema"));
  EXPECT_THAT(ErrorOf(R"({"$ref": "#"})"), HasSubstr("leads back to itself"));
  EXPECT_THAT(ErrorOf(R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})"), HasSubstr("leads back to itself"));
  EXPECT_THAT(ErrorOf(R"({"oneOf": [{"minimum": 2}, {"type": "integer"}]})"), HasSubstr("ways 0 and 1"));
  EXPECT_THAT(ErrorOf(R"({"properties": {"a": {"required": true}}})"),
              HasSubstr("/properties/a: required: want a list"));
  EXPECT_THAT(ErrorOf("[]"), HasSubstr("want an object, true or false"));
}

TEST(JsonSchema, EscapesInStringsCountAsOneCharacter) {
  Check(R"({"type": "string", "minLength": 2, "maxLength": 2})",
        {R"("\n\"")", R"("\u00e9x")", R"("\ud83d\ude42\/")", "\"é🙂\""},
        {R"("\n")", R"("\ud83d\ude42")", R"("\ud83dx")", R"("\ude42x")", "\"\nx\"", R"("\x41a")"});
}

TEST(JsonSchema, PatternsMeanTheCharactersNotTheirEscapes) {
  Check(R"({"type": "string", "pattern": "^a[\"\\\\\\n]b$"})", {R"("a\"b")", R"("a\\b")", R"("a\nb")", R"("a\u000ab")"},
        {R"("a"b")", R"("ab")", R"("a\tb")", "\"a\nb\""});
}

TEST(JsonSchema, PatternsAndLengthsHoldTogether) {
  Check(R"({"type": "string", "pattern": "b", "minLength": 2, "maxLength": 3})", {"\"ab\"", "\"éb\"", "\"abb\""},
        {"\"b\"", "\"aa\"", "\"abbb\""});
  Check(R"({"allOf": [{"type": "string", "pattern": "^a"}, {"pattern": "z$"}, {"maxLength": 3}]})",
        {"\"az\"", "\"aaz\""}, {"\"a\"", "\"z\"", "\"aaaz\""});
  Check(R"({"type": "string", "pattern": "^[a-z]+$", "maxLength": 1000, "minLength": 2})", {"\"ab\""},
        {"\"a\"", "\"aB\""});
}

TEST(JsonSchema, KeywordsSpeakOfTheirOwnTypeOnly) {
  Check(R"({"minLength": 2, "minimum": 3, "maxItems": 1, "required": ["a"]})",
        {"\"ab\"", "3", "[1]", R"({"a": null})", "null", "true"}, {"\"a\"", "2", "[1, 2]", "{}"});
}

TEST(JsonSchema, OtherMembersAreNeverCalledLikeDeclaredOnes) {
  Check(R"({"properties": {"id": {"type": "integer"}, "é": false}, "additionalProperties": {"type": "string"}})",
        {R"({"id": 1, "i": "x", "idx": "y", "e": "z"})", R"({"": "x"})", R"({"a\"b": "x"})"},
        {R"({"id": "x"})", R"({"i": "x", "id": 1})", R"({"\u0069d": "x"})", R"({"é": "x"})", R"({"x": 1})"});
}

TEST(JsonSchema, MembersAreCounted) {
  const std::string schema = R"({"properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "required": ["b"],
                                 "additionalProperties": {"type": "boolean"}, "minProperties": 2, "maxProperties": 3})";
  Check(schema, {R"({"a": null, "b": null})", R"({"b": null, "x": true})", R"({"a": null, "b": null, "x": true})"},
        {R"({"b": null})", R"({"a": null, "x": true})", R"({"a": null, "b": null, "x": true, "y": true})"});
  Check(R"({"type": "object", "maxProperties": 0})", {"{}"}, {R"({"a": 1})"});
}

TEST(JsonSchema, EveryCombinationOfOptionalMembersIsAccepted) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
  for (const char* name : {"a", "b", "c", "d", "e"}) schema["properties"][name] = {{"type", "null"}};
  for (int required = 0; required < 32; ++required) {
    schema["required"] = Json::array();
    for (int i = 0; i < 5; ++i) {
      if (required >> i & 1) schema["required"].push_back(std::string(1, static_cast<char>('a' + i)));
    }
    const auto grammar = JsonSchemaGrammar(schema);
    for (int given = 0; given < 32; ++given) {
      Json value = Json::object();
      for (int i = 0; i < 5; ++i) {
        if (given >> i & 1) value[std::string(1, static_cast<char>('a' + i))] = nullptr;
      }
      EXPECT_EQ(Recognises(*grammar, value.dump()), (required & ~given) == 0) << required << " " << given;
    }
  }
}

TEST(JsonSchema, WaysOfOneOfThatExcludeEachOtherAreEnforced) {
  Check(
      R"({"oneOf": [{"type": "integer", "maximum": 3}, {"type": "number", "exclusiveMinimum": 3}, {"type": "string"}]})",
      {"3", "3.5", "\"x\""}, {"2.5", "null"});
  Check(R"({"type": "object", "oneOf": [{"properties": {"k": {"const": "a"}}, "required": ["k"]},
            {"properties": {"k": {"enum": ["b", "c"]}, "n": {"type": "integer"}}, "required": ["k", "n"]}]})",
        {R"({"k": "a"})", R"({"k": "c", "n": 1})"}, {R"({"k": "b"})", R"({"k": "d", "n": 1})", "{}"});
}

TEST(JsonSchema, DependentKeywordsAreEnforced) {
  Check(R"({"properties": {"a": {}, "b": {}}, "dependentRequired": {"a": ["b"]}})",
        {"{}", R"({"b": 1})", R"({"a": 1, "b": 1})", "3"}, {R"({"a": 1})"});
  Check(
      R"({"properties": {"a": {}, "b": {}}, "dependencies": {"a": {"properties": {"b": {"type": "null"}}, "required": ["b"]}}})",
      {"{}", R"({"b": 1})", R"({"a": 1, "b": null})"}, {R"({"a": 1})", R"({"a": 1, "b": 1})"});
  Check(R"({"not": {"required": ["a"]}})", {"{}", R"({"b": 1})"}, {R"({"a": 1})", "1"});
}

TEST(JsonSchema, ReferencesFollowIdsAnchorsAndPointers) {
  Check(R"({"$id": "http://x.org/a/root.json", "$defs": {"n": {"$id": "node.json", "$anchor": "top", "type": "integer",
            "$defs": {"s": {"type": "string"}}}, "k l": {"type": "null"}},
            "prefixItems": [{"$ref": "node.json"}, {"$ref": "http://x.org/a/node.json#top"}, {"$ref": "node.json#/$defs/s"},
            {"$ref": "#/$defs/k%20l"}], "items": false, "minItems": 4})",
        {R"([1, 2, "x", null])"},
        {R"(["x", 2, "x", null])", R"([1, "x", "x", null])", R"([1, 2, 3, null])", R"([1, 2, "x", 1])"});
}

TEST(JsonSchema, FormatsAreExact) {
  const auto format = [](const char* name) { return absl::StrCat(R"({"type": "string", "format": ")", name, "\"}"); };
  Check(format("date"), {"\"2024-02-29\"", "\"2000-02-29\"", "\"2023-12-31\""},
        {"\"2023-02-29\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"2024-00-10\""});
  Check(format("time"), {"\"23:59:59Z\"", "\"00:00:00.5-08:30\""}, {"\"24:00:00Z\"", "\"12:00:00\"", "\"12:60:00Z\""});
  Check(format("date-time"), {"\"2024-01-02T03:04:05Z\""}, {"\"2024-01-02 03:04:05Z\"", "\"2024-01-02\""});
  Check(format("ipv6"),
        {"\"::\"", "\"::1\"", "\"2001:db8::8a2e:370:7334\"", "\"1:2:3:4:5:6:7:8\"", "\"::ffff:1.2.3.4\"", "\"1::\"",
         "\"1:2:3:4:5:6:7::\""},
        {"\"1:2:3\"", "\"1::2::3\"", "\"1:2:3:4:5:6:7:8:9\"", "\"12345::\"", "\"1:2:3:4:5:6:7:8::\""});
  Check(format("email"), {"\"a.b+c@d-e.co\""}, {"\"a@\"", "\"@b\"", "\"a..b@c\"", "\"a b@c\""});
  Check(format("hostname"), {"\"a.b-c.example\""}, {"\"-a\"", "\"a-\"", "\"a..b\"", "\"\""});
  Check(format("uri"), {"\"http://a:b@[::1]:80/p/%20?q=1#f\"", "\"mailto:x@y\"", "\"urn:a:b\""},
        {"\"/a\"", "\"http://a b\"", "\"1a:b\"", "\"a:%zz\""});
  Check(format("uri-reference"), {"\"/a\"", "\"a/b:c\"", "\"#f\"", "\"\""}, {"\"a b\"", "\"1:x\""});
  Check(format("json-pointer"), {"\"\"", "\"/a~0b/~1\""}, {"\"a\"", "\"/~2\""});
  Check(format("duration"), {"\"P3D\"", "\"PT5M\"", "\"P1Y2M3DT4H5M6S\"", "\"P2W\""}, {"\"P\"", "\"PT\"", "\"P1S\""});
  Check(R"({"type": "string", "format": "uri", "pattern": "^mailto:"})", {"\"mailto:a@b\""},
        {"\"http://a\"", "\"mailto: \""});
}

TEST(JsonSchema, LongSchemasStaySmall) {
  Json schema = {{"type", "object"}, {"properties", Json::object()}};
  for (int i = 0; i < 500; ++i) schema["properties"][absl::StrCat("property_number_", i)] = {{"type", "string"}};
  const auto grammar = JsonSchemaGrammar(schema);
  ASSERT_TRUE(grammar.ok()) << grammar.status();
  EXPECT_LT(grammar->nodes.size(), 100'000u);
  EXPECT_TRUE(Recognises(*grammar, R"({"property_number_7": "x", "property_number_499": "y", "property_number": 1})"));
}

TEST(JsonSchema, HostileSchemasAreRefusedSoon) {
  Json choices = Json::array();
  for (int i = 0; i < 30; ++i) {
    choices.push_back({{"anyOf", {{{"required", {absl::StrCat("a", i)}}}, {{"required", {absl::StrCat("b", i)}}}}}});
  }
  EXPECT_THAT(std::string(JsonSchemaGrammar({{"allOf", choices}}).status().message()), HasSubstr("combinations"));
  Json deep = Json::object();
  for (int i = 0; i < 1000; ++i) deep = Json{{"items", std::move(deep)}};
  EXPECT_FALSE(JsonSchemaGrammar(deep).ok());
  EXPECT_FALSE(JsonSchemaGrammar({{"type", "string"}, {"pattern", "(a|b)*a(a|b){30}"}, {"maxLength", 50}}).ok());
}

TEST(JsonSchema, MutationsAreReadOrRefused) {
  const std::vector<std::string> good = {
      R"({"type":"object","properties":{"a":{"type":"string","minLength":2,"pattern":"^a+$"},"b":{"$ref":"#/$defs/x"}},"required":["a"],"$defs":{"x":{"type":["integer","null"],"minimum":-3.5,"maximum":12}}})",
      R"({"oneOf":[{"type":"array","prefixItems":[{"const":1}],"items":{"enum":["a",null]},"maxItems":3},{"type":"object","patternProperties":{"^x_":{"multipleOf":0.5}},"additionalProperties":false,"maxProperties":2}]})",
      R"({"allOf":[{"anyOf":[{"format":"date"},{"type":"boolean"}]},{"not":{"type":"null"}}],"$anchor":"q","properties":{"n":{"$ref":"#q"}},"propertyNames":{"maxLength":3}})"};
  int read = 0, compiled = 0;
  ForMutations(good, 20'000, [&](const std::string& text) {
    const auto schema = ParseJson(text);
    if (!schema.ok()) return;
    ++read;
    const auto grammar = JsonSchemaGrammar(*schema);
    compiled += grammar.ok() ? 1 : 0;
    EXPECT_TRUE(grammar.ok() || absl::IsInvalidArgument(grammar.status())) << grammar.status();
  });
  EXPECT_GT(read, 1'000);
  EXPECT_GT(compiled, 500);
}

}  // namespace
}  // namespace braid
