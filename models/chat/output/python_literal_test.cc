#include "models/chat/output/python_literal.h"

#include <gtest/gtest.h>

#include <random>

#include "kernels/base/json.h"

namespace braid {
namespace {

TEST(PythonLiteral, BecomesJson) {
  const std::pair<const char*, const char*> kRows[] = {{"1", "1"},
                                                       {"-2", "-2"},
                                                       {"+3", "3"},
                                                       {".5", "0.5"},
                                                       {"5.", "5.0"},
                                                       {"1e-5", "1e-5"},
                                                       {"True", "true"},
                                                       {"None", "null"},
                                                       {"false", "false"},
                                                       {"'a\"b'", R"("a\"b")"},
                                                       {"\"it's\"", R"("it's")"},
                                                       {"'''a'b'''", R"("a'b")"},
                                                       {"''", R"("")"},
                                                       {R"('\x41\u00e9\U0001F600\q\\')", "\"Aé😀\\\\q\\\\\""},
                                                       {R"('\ud83d\ude00')", "\"😀\""},
                                                       {"[1, 'a', [None,],]", R"([1, "a", [null]])"},
                                                       {"(1, 2)", "[1, 2]"},
                                                       {"()", "[]"},
                                                       {"{'k': [1, True], 2: {}}", R"({"k": [1, true], "2": {}})"},
                                                       {" [ ] ", "[]"}};
  for (const auto& [python, json] : kRows) EXPECT_EQ(PythonLiteralToJson(python).value_or("none"), json) << python;
}

TEST(PythonLiteral, RefusesAllElse) {
  for (const char* text : {"",
                           "x",
                           "f()",
                           "1 + 2",
                           "[1",
                           "[,]",
                           "{1}",
                           "{'a'}",
                           "{'a': }",
                           "'a",
                           "\"\"\"a\"\"",
                           "01",
                           "1e",
                           "1e999",
                           "-",
                           "--1",
                           "inf",
                           "[1 2]",
                           "'\\ud800'",
                           "'\\U00110000'",
                           "'\\x4'",
                           "'a' 'b'",
                           "b'a'",
                           "lambda: 0",
                           "__import__('os')"}) {
    EXPECT_FALSE(PythonLiteralToJson(text).has_value()) << text;
  }
  EXPECT_TRUE(PythonLiteralToJson(std::string(64, '[') + std::string(64, ']')).has_value());
  EXPECT_FALSE(PythonLiteralToJson(std::string(65, '[') + std::string(65, ']')).has_value());
  EXPECT_FALSE(PythonLiteralToJson(std::string(1'000'000, '(')).has_value());
}

TEST(PythonLiteral, WhatItWritesIsAlwaysJson) {
  std::mt19937 random(3);
  const std::string alphabet = "[](){}'\",: .-+0123eTrueFalseNone\\xun\n";
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = "{'k': [1, True, (2.5, 'a\\n')], 'm': {'x': None}}";
    for (int count = random() % 4; count >= 0; --count) {
      text[random() % text.size()] = alphabet[random() % alphabet.size()];
    }
    const std::optional<std::string> json = PythonLiteralToJson(text);
    if (!json) continue;
    ++accepted;
    const absl::StatusOr<Json> parsed = ParseJson(*json);
    // A key that comes twice is right in Python.
    EXPECT_TRUE(parsed.ok() || parsed.status().message().find("given twice") != absl::string_view::npos)
        << text << *json;
  }
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace braid
