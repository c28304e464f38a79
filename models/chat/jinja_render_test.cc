#include "models/chat/jinja_render.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>

#include "kernels/testing/instrumented.h"

namespace braid {
namespace {

constexpr int64_t kClock = 1795420800;  // 2026-11-23 08:00:00 UTC

absl::StatusOr<std::string> Render(std::string_view source, const Json& context) {
  absl::StatusOr<JinjaTree> tree = ParseJinja(source);
  if (!tree.ok()) return tree.status();
  JinjaContext variables;
  for (const auto& [name, value] : context.items()) variables.emplace_back(name, &value);
  return RenderJinja(*tree, variables, kClock);
}

std::string Rendered(std::string_view source, const Json& context = Json::object()) {
  const absl::StatusOr<std::string> text = Render(source, context);
  return text.ok() ? *text : "error: " + std::string(text.status().message());
}

std::string Fault(std::string_view source, const Json& context = Json::object()) {
  const absl::StatusOr<std::string> text = Render(source, context);
  return text.ok() ? "no error: " + *text : std::string(text.status().message());
}

// Where Python prints where an object lies, any place will do.
std::string WithoutAddresses(const std::string& text) {
  return std::regex_replace(text, std::regex("0x[0-9a-f]+>"), "0x0>");
}

void ExpectRow(const Json& row) {
  const std::string id = row["id"];
  const auto begin = std::chrono::steady_clock::now();
  const absl::StatusOr<std::string> text = Render(row["template"].get<std::string>(), row["context"]);
  const auto took = std::chrono::steady_clock::now() - begin;
  if (row.contains("expected")) {
    const std::string expected = row["expected"];
    // What no chat template uses may be refused by name, but must not give another text.
    if (!text.ok() && text.status().message().find("is not supported") != std::string::npos) return;
    ASSERT_TRUE(text.ok()) << id << ": " << text.status();
    EXPECT_EQ(WithoutAddresses(*text), WithoutAddresses(expected)) << id;
    return;
  }
  if (text.ok() && row.contains("or_expected")) {
    EXPECT_EQ(*text, row["or_expected"].get<std::string>()) << id;
  } else {
    ASSERT_FALSE(text.ok()) << id << " gives " << text->substr(0, 200);
  }
  if (row["error"] == "TemplateError") {
    EXPECT_EQ(std::string(text.status().message()), row["message"].get<std::string>()) << id;
  }
  if (row.contains("limit_ms") && !testing::kInstrumented) {
    EXPECT_LT(took, std::chrono::milliseconds(row["limit_ms"].get<int>())) << id;
  }
}

TEST(Jinja, RendersEveryFeatureLikeTheReference) {
  std::ifstream file(BRAID_SOURCE_DIR "/tests/data/jinja/conformance.jsonl");
  int rows = 0, refused = 0;
  for (std::string line; std::getline(file, line); ++rows) {
    const absl::StatusOr<Json> row = ParseJson(line);
    ASSERT_TRUE(row.ok()) << row.status();
    ExpectRow(*row);
    if (row->contains("expected")) refused += !Render((*row)["template"].get<std::string>(), (*row)["context"]).ok();
  }
  EXPECT_EQ(rows, 194);
  EXPECT_EQ(refused, 4);  // groupby, truncate, joiner, cycler
}

TEST(Jinja, NamesTheLineOfAFault) {
  EXPECT_EQ(Fault("a\n{{ 1 +\n }}"), "chat template, line 3: unexpected 'end of print statement'");
  EXPECT_EQ(Fault("a\n\n{{ x.y }}"), "chat template, line 3: 'x' is undefined");
  EXPECT_EQ(Fault("{% for x in [1] %}"), "chat template, line 1: unexpected end of template: 'endfor' is missing");
}

TEST(Jinja, GivesTheWordsOfRaiseExceptionAsTheyAre) {
  EXPECT_EQ(Fault("{{ raise_exception('no ' ~ role) }}", {{"role", "alien"}}), "no alien");
}

TEST(Jinja, KeepsIntegersExactAndRefusesTheirOverflow) {
  EXPECT_EQ(Rendered("{{ n }} {{ n * 2 }}", {{"n", 18446744073709551615ull}}),
            "18446744073709551615 36893488147419103230");
  EXPECT_NE(Fault("{{ 10 ** 39 }}").find("127 bits"), std::string::npos);
  EXPECT_NE(Fault("{{ 2 ** 126 + 2 ** 126 + 2 ** 126 }}").find("127 bits"), std::string::npos);
  EXPECT_EQ(Rendered("{{ -7 // -1 }} {{ -7 % -1 }}"), "7 0");
}

TEST(Jinja, MacrosSeeTheirDefinitionsScopeNotTheCallers) {
  EXPECT_EQ(Rendered("{% macro f() %}{{ i }}{% endmacro %}{% for i in [1] %}[{{ f() }}]{% endfor %}"), "[]");
  EXPECT_EQ(Rendered("{% macro f() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ f() }}"), "5");
}

TEST(Jinja, AGeneratorHandsOutItsItemsOnce) {
  EXPECT_EQ(Rendered("{% set g = [1,2] | map('string') %}{{ g | list }}{{ g | list }}"), "['1', '2'][]");
  EXPECT_NE(Fault("{{ [1] | map('string') | tojson }}").find("generator is not JSON"), std::string::npos);
}

TEST(Jinja, AMissingItemFallsBackToTheMethod) {
  EXPECT_EQ(Rendered("{{ 'y' if d['items'] else 'n' }}{{ d['items']() | list }}", {{"d", {{"a", 1}}}}), "y[('a', 1)]");
}

TEST(Jinja, WhatJoinsSafeTextWithPlusIsEscaped) {
  EXPECT_EQ(Rendered("{{ ('<' | safe) + '<' }} {{ ('<' | safe) ~ '<' }}"), "<&lt; <<");
}

TEST(Jinja, MacrosThatKeepEachOtherAliveAreFreed) {
  EXPECT_EQ(Rendered("{% set ns = namespace(f=none) %}{% for i in range(20000) %}{% set p = ns.f %}"
                     "{% macro g() %}{{ p }}{% endmacro %}{% set ns.f = g %}{% endfor %}ok"),
            "ok");
}

TEST(Jinja, LimitsNestedValuesBuiltByLoops) {
  EXPECT_NE(Fault("{% set ns = namespace(a=[]) %}{% for i in range(1000) %}{% set ns.a = [ns.a] %}{% endfor %}")
                .find("nested deeper"),
            std::string::npos);
  EXPECT_NE(
      Fault(
          "{% set ns = namespace(a=[1]) %}{% for i in range(90) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a }}")
          .find("steps"),
      std::string::npos);
  EXPECT_NE(Fault("{{ 'a' | map(" +
                  [] {
                    std::string s;
                    for (int i = 0; i < 5000; ++i) s += "'map',";
                    return s;
                  }() +
                  "'upper') | list }}")
                .find("nested too deep"),
            std::string::npos);
}

TEST(Jinja, CallBlocksAndFilterBlocksAndSetBlocks) {
  EXPECT_EQ(
      Rendered("{% macro m(a) %}{{ caller(a, 2) }}{% endmacro %}{% call(x, y) m(1) %}{{ x }}-{{ y }}{% endcall %}"),
      "1-2");
  EXPECT_EQ(Rendered("{% set t | trim | upper %}  ab {% endset %}[{{ t }}]"), "[AB]");
  EXPECT_EQ(
      Rendered(
          "{% for x in [1,2,3] %}{% filter upper %}a{% endfilter %}{% if x == 2 %}{% break %}{% endif %}{% endfor %}"),
      "AA");
}

TEST(Jinja, PrintsTextsLikePython) {
  EXPECT_EQ(Rendered("{{ [s] }}", {{"s", std::string("\x7f\xc2\xa0\xe2\x80\xa8\xf0\x9f\x99\x82'\"\0", 13)}}),
            "['\\x7f\\xa0\\u2028\xf0\x9f\x99\x82\\'\"\\x00']");
  EXPECT_EQ(Rendered("{{ 'ΑΣ ΣΑ'.lower() }} {{ 'ǆ ßa'.title() }} {{ 'straße'.upper() }}"), "ας σα ǅ Ssa STRASSE");
}

}  // namespace
}  // namespace braid
