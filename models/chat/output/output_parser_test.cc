#include "models/chat/output/output_parser.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <iostream>
#include <map>

#include "models/chat/output/json_text.h"
#include "models/chat/output/parsed_output.h"
#include "models/chat/output/toolparse_cases.h"

namespace braid {
namespace {

// Offsets in characters to offsets in bytes.
std::vector<size_t> ByteCuts(std::string_view text, const Json& characters) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xC0) != 0x80) starts.push_back(i);
  }
  std::vector<size_t> cuts;
  for (const Json& at : characters) cuts.push_back(starts.at(at.get<size_t>()));
  return cuts;
}

std::string WithoutSpace(std::string_view text) {
  std::string out;
  for (const char byte : text) {
    if (!IsWhiteSpace(byte)) out.push_back(byte);
  }
  return out;
}

std::string TextOrEmpty(const Json& value) { return value.is_null() ? "" : value.get<std::string>(); }

void ExpectNoMarker(std::string_view text) {
  for (const char* marker : {"<think>", "</think>", "<tool_call>", "</tool_call>", "<function=", "<parameter=",
                             "</function>", "</parameter>", "TOOLCALL>", "[TOOL_CALLS]", "[ARGS]", "<|", "<｜"}) {
    EXPECT_EQ(text.find(marker), std::string_view::npos) << marker << " in " << text;
  }
}

void ExpectCalls(const ParsedOutput& parsed, const Json& expected) {
  ASSERT_EQ(parsed.calls.size(), expected.size()) << parsed;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(parsed.calls[i].first, expected[i]["name"].get<std::string>());
    const absl::StatusOr<Json> arguments = ParseJson(parsed.calls[i].second);
    ASSERT_TRUE(arguments.ok()) << parsed.calls[i].second << ": " << arguments.status();
    // As values: the order of members does not count.
    EXPECT_EQ(nlohmann::json(*arguments), nlohmann::json(expected[i]["arguments"]));
  }
}

void ExpectParsed(const ToolparseCase& one, const ParsedOutput& parsed) {
  const Json& expected = one.row["expected"];
  const std::string check = one.row["check"];
  if (check == "no_crash") return;
  if (check == "no_call") {
    EXPECT_TRUE(parsed.calls.empty()) << parsed;
  }
  if (check == "no_call" || check == "no_leak") return ExpectNoMarker(parsed.content);
  ExpectCalls(parsed, expected["tool_calls"]);
  if (check == "calls_only") return;
  EXPECT_EQ(TrimSpace(parsed.content), TrimSpace(TextOrEmpty(expected["content"])));
  const std::string reasoning = TextOrEmpty(expected["reasoning_content"]);
  if (check == "no_space") {
    EXPECT_EQ(WithoutSpace(parsed.reasoning), WithoutSpace(reasoning));
  } else {
    EXPECT_EQ(parsed.reasoning, TrimSpace(reasoning));
  }
  if (!parsed.calls.empty() && TextOrEmpty(expected["content"]).empty()) {
    EXPECT_EQ(parsed.content, "");
  }
}

void ExpectCase(const ToolparseCase& one) {
  SCOPED_TRACE(one.row["id"].get<std::string>() + ": " + one.raw);
  const bool cut = one.row["expected"]["finish_reason"] == "length";
  ExpectParsed(one, ParsePieces(one.format, one.options, one.raw, {}, cut));
  for (const Json& split : one.row["splits"]) {
    ExpectParsed(one, ParsePieces(one.format, one.options, one.raw, ByteCuts(one.raw, split), cut));
  }
}

void ExpectCases(const std::string& folder) {
  std::map<std::string, int> counts;
  for (const ToolparseCase& one : LoadToolparseCases(folder)) {
    ExpectCase(one);
    ++counts[one.row["family"].get<std::string>()];
  }
  int sum = 0;
  for (const auto& [family, count] : counts) {
    std::cout << family << ": " << count << " cases, whole and in five splits\n";
    sum += count;
  }
  EXPECT_GE(sum, 91);
}

TEST(OutputParser, ReadsEveryCaseWholeAndInPieces) { ExpectCases(BRAID_SOURCE_DIR "/tests/data/toolparse"); }

TEST(OutputParser, ReadsTheLargerSetToo) {
  const char* oracles = std::getenv("BRAID_ORACLES");
  if (oracles == nullptr) GTEST_SKIP() << "BRAID_ORACLES is not set";
  ExpectCases(std::string(oracles) + "/toolparse");
}

TEST(OutputParser, NoCutOfAnyCaseChangesTheJoinedResult) {
  int parses = 0;
  for (const ToolparseCase& one : ShippedToolparseCases()) {
    SCOPED_TRACE(one.row["id"].get<std::string>());
    const ParsedOutput whole = ParseWhole(one.format, one.options, one.raw);
    EXPECT_EQ(ParsePieces(one.format, one.options, one.raw, EveryByte(one.raw)), whole);
    for (size_t cut = 0; cut <= one.raw.size(); ++cut, ++parses) {
      ASSERT_EQ(ParsePieces(one.format, one.options, one.raw, {cut}), whole) << cut;
    }
  }
  std::cout << parses << " parses in two pieces\n";
}

// The arguments that are out when exactly `text` has come.
std::string ArgumentsAfter(OutputFormat format, std::string_view text, const Json& tools = nullptr) {
  const auto parser = MakeOutputParser(format, {.tools = tools});
  ParsedOutput parsed;
  for (const char byte : text) Join(parser->Push(std::string_view(&byte, 1)), &parsed);
  return parsed.calls.empty() ? "" : parsed.calls.back().second;
}

TEST(OutputParser, HandsOnJsonArgumentsAsTheyCome) {
  const std::string begun = R"({"city": "Par)";
  for (const auto& [format, head] : std::vector<std::pair<OutputFormat, std::string>>{
           {OutputFormat::kHermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": "},
           {OutputFormat::kNanoV2, "<TOOLCALL>[{\"name\": \"f\", \"arguments\": "},
           {OutputFormat::kLlama3Json, "{\"name\": \"f\", \"parameters\": "},
           {OutputFormat::kMistral, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": "},
           {OutputFormat::kMistralV11, "[TOOL_CALLS]f[ARGS]"},
           {OutputFormat::kHarmony, "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"},
           {OutputFormat::kDeepSeekV3, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n"},
           {OutputFormat::kDeepSeekV31, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>"}}) {
    EXPECT_EQ(ArgumentsAfter(format, head + begun), begun) << OutputFormatName(format);
  }
}

TEST(OutputParser, HandsOnTextParametersAsTheyCome) {
  const Json tools = *ParseJson(R"([{"name": "f", "parameters": {"properties":
      {"s": {"type": "string"}, "n": {"type": "integer"}}}}])");
  const std::string head = "<tool_call>\n<function=f>\n<parameter=n>\n3\n</parameter>\n<parameter=s>\n";
  EXPECT_EQ(ArgumentsAfter(OutputFormat::kNemotron3, head + "a <b\n", tools), R"({"n": 3, "s": "a <b)");
  EXPECT_EQ(ArgumentsAfter(OutputFormat::kNemotron3, head + "a\n</param", tools), R"({"n": 3, "s": "a)");
  EXPECT_EQ(ArgumentsAfter(OutputFormat::kNemotron3, head + "a\n</param>", tools), R"({"n": 3, "s": "a\n</param>)");
}

struct Row {
  OutputFormat format;
  std::string text;
  ParsedOutput expected;
};

// Each also byte by byte.
void ExpectRows(const std::vector<Row>& rows, const OutputParserOptions& options = {}) {
  for (const Row& row : rows) {
    EXPECT_EQ(ParseWhole(row.format, options, row.text), row.expected) << row.text;
    EXPECT_EQ(ParsePieces(row.format, options, row.text, EveryByte(row.text)), row.expected) << row.text;
  }
}

TEST(OutputParser, ReadsJsonCallsInTheFormsThatModelsWrite) {
  const auto hermes = OutputFormat::kHermes;
  ExpectRows({
      {hermes, "<tool_call>{\"name\": \"f\"}</tool_call>", {"", "", {{"f", "{}"}}}},
      {hermes, "<tool_call>{\"name\": \"f\", \"arguments\": null}</tool_call>", {"", "", {{"f", "{}"}}}},
      {hermes, R"(<tool_call>{"name": "f", "arguments": "{\"a\": 1}"}</tool_call>)", {"", "", {{"f", R"({"a": 1})"}}}},
      {hermes, R"(<tool_call>{"id": 5, "name": "f", "arguments": {}}}</tool_call>)", {"", "", {{"f", "{}"}}}},
      {hermes,
       "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"x\ny\"}}</tool_call>",
       {"", "", {{"f", "{\"a\": \"x\\ny\"}"}}}},
      {hermes, R"(<tool_call>{"name": "f", "arguments": {"a": 1}</tool_call>ok)", {"", "ok", {{"f", R"({"a": 1})"}}}},
      {hermes, R"(<tool_call>{"name": "f", "arguments": {"a": 1]}</tool_call>ok)", {"", "ok", {{"f", R"({"a": 1)"}}}},
      {hermes,
       "a\n<tool_call>{\"name\": \"f\"}\n{\"name\": \"g\"}</tool_call>\nb",
       {"", "a\n\nb", {{"f", "{}"}, {"g", "{}"}}}},
      {hermes, "a <think>b</think> c", {"", "a <think>b c", {}}},
      {OutputFormat::kLlama3Json, R"({"name": "Bob", "age": 5})", {"", R"({"name": "Bob", "age": 5})", {}}},
      {OutputFormat::kLlama3Json, R"({"name": "Bob"})", {"", R"({"name": "Bob"})", {}}},
      {OutputFormat::kLlama3Json,
       R"(See {"name": "f", "parameters": {}})",
       {"", R"(See {"name": "f", "parameters": {}})", {}}},
      {OutputFormat::kMistral, "[TOOL_CALLS] f[CALL_ID]123456789[ARGS]{\"a\": 1}", {"", "", {{"f", "{\"a\": 1}"}}}},
      {OutputFormat::kMistralV11,
       "[THINK]r[/THINK]c[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]",
       {"r", "c", {{"f", "{}"}}}},
      {OutputFormat::kDeepSeekV31,
       "<｜tool▁call▁begin｜>f<｜tool▁sep｜><｜tool▁call▁end｜>c",
       {"", "c", {{"f", "{}"}}}},
      {OutputFormat::kDeepSeekV3, "<｜tool▁call▁begin｜>f<｜tool▁sep｜>{bad}<｜tool▁call▁end｜>", {"", "{bad}", {}}},
  });
}

TEST(OutputParser, ReadsTagsInTheFormsThatModelsWrite) {
  const auto tags = OutputFormat::kQwen3Coder;
  ExpectRows({
      {tags, "<function=f\n<parameter=a>1</parameter></function>", {"", "", {{"f", R"({"a": "1"})"}}}},
      {tags, "<function=f<function=g></function>", {"", "", {{"f", "{}"}, {"g", "{}"}}}},
      {tags, "<tool_call><function=f><tool_call><function=g></function>", {"", "", {{"f", "{}"}, {"g", "{}"}}}},
      {tags, "<function=f><parameter=a>1<parameter=b>2</function>", {"", "", {{"f", R"({"a": "1", "b": "2"})"}}}},
      {tags,
       "<function=f><parameter=a>1</parameter><parameter=a>2</parameter></function>",
       {"", "", {{"f", R"({"a": "1"})"}}}},
      {tags, "<function=><parameter=a>1</parameter></function>c", {"", "c", {}}},
      {tags, "<function=f><parameter=a>x", {"", "", {{"f", R"({"a": "x"})"}}}},
      {tags, "use <tool_call> here", {"", "use  here", {}}},
      {OutputFormat::kDeepSeekV32,
       "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n<｜DSML｜parameter name=\"a\" string=\"false\">[1, "
       "{\"b\": null}]"
       "</｜DSML｜parameter>\n<｜DSML｜parameter name=\"c\" "
       "string=\"true\">\n7\n</｜DSML｜parameter>\n</｜DSML｜invoke>\n"
       "</｜DSML｜function_calls>",
       {"", "", {{"f", R"({"a": [1, {"b": null}], "c": "\n7\n"})"}}}},
  });
}

TEST(OutputParser, ReadsPythonCallsOnlyWhenAllIsLiteral) {
  const auto pythonic = OutputFormat::kPythonic;
  ExpectRows({
      {pythonic,
       "[f(a='x, )', b=[1, (2, 3)], c=\"\")]",
       {"", "", {{"f", R"j({"a": "x, )", "b": [1, [2, 3]], "c": ""})j"}}}},
      {pythonic, "<|python_start|>[f()]<|python_end|>", {"", "", {{"f", "{}"}}}},
      {pythonic, "[f(a=''' it's ''')]", {"", "", {{"f", R"({"a": " it's "})"}}}},
      {pythonic, "[f(a=g())]", {"", "[f(a=g())]", {}}},
      {pythonic, "[f(1)]", {"", "[f(1)]", {}}},
      {pythonic, "[f(a=1, a=2)]", {"", "[f(a=1, a=2)]", {}}},
      {pythonic, "[]", {"", "[]", {}}},
      {pythonic, "[f(a=1), g(a=", {"", ", g(a=", {{"f", R"({"a": 1})"}}}},
      {pythonic, "see [f(a=1)]", {"", "see [f(a=1)]", {}}},
  });
}

TEST(OutputParser, ReadsHarmonyMessagesInAnyOrder) {
  const auto harmony = OutputFormat::kHarmony;
  ExpectRows({
      {harmony, "no header", {"", "no header", {}}},
      {harmony, "<b>no</b> header<|end|>", {"", "<b>no</b> header", {}}},
      {harmony, "tea", {"", "tea", {}}},
      {harmony, " to=functions.f<|channel|>commentary json<|message|>{\"a\": 1}", {"", "", {{"f", "{\"a\": 1}"}}}},
      {harmony, "<|channel|>commentary to=functions.f<|message|><|call|>", {"", "", {{"f", "{}"}}}},
      {harmony, "<|channel|>commentary to=functions.f<|message|>ls -la<|call|>", {"", "ls -la", {}}},
      {harmony,
       "<|channel|>commentary<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>",
       {"", "a\nb", {}}},
      {harmony,
       "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>analysis<|message|>b",
       {"a\nb", "", {}}},
  });
  ExpectRows({{harmony, "thought<|end|><|start|>assistant<|channel|>final<|message|>c", {"thought", "c", {}}}},
             {.starts_in_reasoning = true});
}

TEST(OutputParser, MarkersAreContentWhereTheyAreNotParsed) {
  ExpectRows({{OutputFormat::kHermes, "<think>a</think>b<tool_call>", {"a", "b<tool_call>", {}}},
              {OutputFormat::kNemotron3, "<think>a<tool_call>b</think>c", {"a<tool_call>b", "c", {}}},
              {OutputFormat::kLlama3Json, "{\"name\": 1}\n", {"", "{\"name\": 1}\n", {}}},
              {OutputFormat::kHarmony, "<|channel|>commentary to=functions.f<|message|>{}<|call|>", {"", "{}", {}}}},
             {.parse_tools = false});
  ExpectRows({{OutputFormat::kHermes, "<think>a</think>", {"", "<think>a</think>", {}}}}, {.parse_reasoning = false});
  ExpectRows({{OutputFormat::kPlain, " <think> [TOOL_CALLS] ", {"", " <think> [TOOL_CALLS] ", {}}}});
  ExpectRows({{OutputFormat::kHermes, " <think></think> ", {"", " <think></think> ", {}}}},
             {.starts_in_reasoning = true, .parse_tools = false, .parse_reasoning = false});
}

TEST(OutputParser, WhiteSpaceOfAnAnswerWithoutCallsStays) {
  ExpectRows({{OutputFormat::kHermes, "\n a \n", {"", "\n a \n", {}}},
              {OutputFormat::kHermes, "<think>\nr\n</think>\n\na \n", {"r", "a \n", {}}},
              {OutputFormat::kHermes, "<think>\nr\n</think>\n\n", {"r", "", {}}}});
}

TEST(OutputParser, CutCallStaysUnfinished) {
  const std::string text = "<tool_call>\n<function=f>\n<parameter=a>\n1";
  const ParsedOutput cut = ParsePieces(OutputFormat::kNemotron3, {}, text, {}, true);
  EXPECT_EQ(cut, (ParsedOutput{"", "", {{"f", "{\"a\": \"1"}}}));
  const std::string json = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"b";
  EXPECT_EQ(ParsePieces(OutputFormat::kHermes, {}, json, {}, true), (ParsedOutput{"", "", {{"f", "{\"a\": \"b"}}}));
  EXPECT_EQ(ParsePieces(OutputFormat::kHermes, {}, "<tool_call>\n{\"na", {}, true), ParsedOutput{});
}

TEST(OutputParser, SaysWhetherItIsInTheReasoning) {
  const auto parser = MakeOutputParser(OutputFormat::kHermes, {});
  EXPECT_FALSE(parser->in_reasoning());
  parser->Push("<think>a");
  EXPECT_TRUE(parser->in_reasoning());
  parser->Push("</think>");
  EXPECT_FALSE(parser->in_reasoning());
  EXPECT_TRUE(MakeOutputParser(OutputFormat::kHarmony, {.starts_in_reasoning = true})->in_reasoning());
  EXPECT_FALSE(MakeOutputParser(OutputFormat::kMistral, {.starts_in_reasoning = true})->in_reasoning());
}

}  // namespace
}  // namespace braid
