#include "models/chat/output/schema_types.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

struct Row {
  const char* schema;
  const char* text;
  const char* json;
};

TEST(SchemaTypes, ValuesConvertInAFixedOrder) {
  const Row kRows[] = {
      {R"({"type": "integer"})", "3", "3"},
      {R"({"type": "integer"})", " +007 ", "7"},
      {R"({"type": "integer"})", "3.5", R"("3.5")"},
      {R"({"type": "integer"})", "-", R"("-")"},
      {R"({"type": "number"})", "3", "3"},
      {R"({"type": "number"})", "-.5", "-0.5"},
      {R"({"type": "number"})", "1e3", "1e3"},
      {R"({"type": "number"})", "1e999", R"("1e999")"},
      {R"({"type": "number"})", "Infinity", R"("Infinity")"},
      {R"({"type": "number"})", "NaN", R"("NaN")"},
      {R"({"type": "boolean"})", "TRUE", "true"},
      {R"({"type": "boolean"})", "0", "false"},
      {R"({"type": "boolean"})", "yes", R"("yes")"},
      {R"({"type": ["boolean", "integer"]})", "1", "1"},
      {R"({"type": ["string", "null"]})", "null", "null"},
      {R"({"type": "string"})", "null", R"("null")"},
      {R"({"type": ["string", "integer"]})", "12", "12"},
      {R"({"type": "object"})", R"({"a": [1]})", R"({"a": [1]})"},
      {R"({"type": "object"})", "{'a': True}", R"({"a": true})"},
      {R"({"type": "object"})", "[1]", R"("[1]")"},
      {R"({"type": "array"})", "[1, 2]", "[1, 2]"},
      {R"({"anyOf": [{"type": "integer"}, {"type": "null"}]})", "null", "null"},
      {R"({"enum": [1, "a"]})", "1", "1"},
      {R"({"const": true})", "true", "true"},
      {R"({"properties": {}})", "{}", "{}"},
      {R"({"items": {}})", "[]", "[]"},
      {R"({"$ref": "#/$defs/n"})", "5", "5"},
      {R"({"$ref": "#/$defs/loop"})", "5", R"("5")"},
      {R"({"$ref": "http://x"})", "5", R"("5")"},
      {"{}", "5", R"("5")"},
      {"true", "5", R"("5")"},
      {R"({"type": 7})", "5", R"("5")"},
  };
  const Json root = *ParseJson(R"({"$defs": {"n": {"type": "integer"}, "loop": {"anyOf": [{"$ref": "#/$defs/loop"},
      {"$ref": "#/$defs/loop"}]}}})");
  for (const Row& row : kRows) {
    EXPECT_EQ(ConvertValue(row.text, SchemaTypes(*ParseJson(row.schema), root)), row.json) << row.schema << row.text;
  }
}

TEST(SchemaTypes, ToolsComeInTwoForms) {
  const ToolSchemas tools(*ParseJson(R"([{"type": "function", "function": {"name": "f", "parameters":
      {"properties": {"a": {"type": "integer"}}}}}, {"name": "g", "parameters": {"properties": {"b": {"type": "null"}}}},
      {"name": "bare"}, 7])"));
  EXPECT_EQ(tools.TypesOf("f", "a"), kIntegerValue);
  EXPECT_EQ(tools.TypesOf("g", "b"), kNullValue);
  EXPECT_EQ(tools.TypesOf("f", "b"), 0);
  EXPECT_EQ(tools.TypesOf("bare", "b"), 0);
  EXPECT_EQ(tools.TypesOf("other", "b"), 0);
  EXPECT_EQ(ToolSchemas(nullptr).TypesOf("f", "a"), 0);
}

}  // namespace
}  // namespace braid
