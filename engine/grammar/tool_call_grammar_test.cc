#include "engine/grammar/tool_call_grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <map>
#include <random>

#include "engine/grammar/matcher.h"
#include "models/chat/output/parsed_output.h"

namespace braid {
namespace {

using ::testing::HasSubstr;
using Kind = GrammarNode::Kind;

const OutputFormat kForced[] = {OutputFormat::kNemotron3,  OutputFormat::kQwen3Coder,  OutputFormat::kNanoV2,
                                OutputFormat::kHermes,     OutputFormat::kLlama3Json,  OutputFormat::kHarmony,
                                OutputFormat::kDeepSeekV3, OutputFormat::kDeepSeekV31, OutputFormat::kDeepSeekV32,
                                OutputFormat::kMistral,    OutputFormat::kMistralV11};

const Json& Tools() {
  static const auto* const kTools = new Json(*ParseJson(R"([
      {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {
          "city": {"type": "string", "minLength": 1, "maxLength": 12},
          "days": {"type": "integer"},
          "unit": {"type": "string", "enum": ["c", "f"]},
          "date": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"},
          "place": {"$ref": "#/$defs/place"}}, "required": ["city", "date"], "additionalProperties": false,
          "$defs": {"place": {"type": "object", "properties": {"x": {"type": "boolean"}}, "required": ["x"],
                              "additionalProperties": false}}}}},
      {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {},
          "additionalProperties": false}}},
      {"type": "function", "function": {"name": "any"}}])"));
  return *kTools;
}

absl::StatusOr<Grammar> Calls(OutputFormat format, const ToolCallGrammarOptions& options, const Json& tools = Tools()) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  const absl::StatusOr<int32_t> calls = AddToolCallGrammar(format, tools, options, &builder);
  if (!calls.ok()) return calls.status();
  builder.Define(root, *calls);
  return builder.Take();
}

// Says random sentences of a grammar.
class Speaker {
 public:
  Speaker(const Grammar& grammar, uint32_t seed)
      : grammar_(grammar), random_(seed), least_(grammar.nodes.size(), kNever) {
    for (bool changed = true; changed;) {
      changed = false;
      for (size_t id = 0; id < least_.size(); ++id) {
        const int64_t bytes = Least(grammar.nodes[id]);
        changed |= bytes < std::exchange(least_[id], bytes);
      }
    }
  }

  std::string Say() {
    std::string text;
    Say(grammar_.rules[0], &text);
    return text;
  }

 private:
  static constexpr int64_t kNever = std::numeric_limits<int32_t>::max();

  // Steps of the shortest way through a node.
  int64_t Least(const GrammarNode& node) const {
    int64_t sum = 1;
    switch (node.kind) {
      case Kind::kNothing:
        return kNever;
      case Kind::kSequence:
        for (const int32_t child : node.children) sum += least_[child];
        return std::min(sum, kNever);
      case Kind::kChoice:
        sum = kNever;
        for (const int32_t child : node.children) sum = std::min(sum, least_[child] + 1);
        return std::min(sum, kNever);
      case Kind::kRepeat:
        return node.min == 0 ? 1 : std::min(1 + node.min * least_[node.children[0]], kNever);
      case Kind::kRule:
        return std::min(1 + least_[grammar_.rules[node.rule]], kNever);
      default:
        return 1;
    }
  }

  void Say(int32_t id, std::string* text) {
    const GrammarNode& node = grammar_.nodes[id];
    const bool hurry = text->size() > 600;
    switch (node.kind) {
      case Kind::kBytes:
        return text->push_back(AnyByte(node.bytes));
      case Kind::kLiteral:
      case Kind::kMarker:
        text->append(node.text);
        return;
      case Kind::kSequence:
        for (const int32_t child : node.children) Say(child, text);
        return;
      case Kind::kChoice:
        return Say(Chosen(node.children, hurry), text);
      case Kind::kRepeat:
        return Repeat(node, hurry, text);
      case Kind::kRule:
        return Say(grammar_.rules[node.rule], text);
      default:
        return;
    }
  }

  void Repeat(const GrammarNode& node, bool hurry, std::string* text) {
    int32_t count = node.min;
    while (!hurry && (node.max < 0 || count < node.max) && random_() % 2 == 0) ++count;
    for (; count > 0; --count) Say(node.children[0], text);
  }

  int32_t Chosen(const std::vector<int32_t>& ways, bool hurry) {
    if (!hurry) {
      const int32_t way = ways[random_() % ways.size()];
      if (least_[way] < kNever) return way;
    }
    return *std::min_element(ways.begin(), ways.end(), [this](int32_t a, int32_t b) { return least_[a] < least_[b]; });
  }

  char AnyByte(const ByteSet& bytes) {
    for (int tries = 0; tries < 20; ++tries) {
      const unsigned byte = 32 + random_() % 95;  // readable ones, where there are any
      if (bytes[byte]) return static_cast<char>(byte);
    }
    unsigned byte = random_() % 256;
    while (!bytes[byte]) byte = (byte + 1) % 256;
    return static_cast<char>(byte);
  }

  const Grammar& grammar_;
  std::mt19937 random_;
  std::vector<int64_t> least_;
};

void ExpectWeather(const Json& arguments) {
  ASSERT_TRUE(arguments.contains("city") && arguments.contains("date")) << arguments;
  EXPECT_TRUE(arguments["city"].is_string());
  EXPECT_EQ(arguments["date"].get<std::string>().size(), 7u) << arguments;
  if (arguments.contains("days")) {
    EXPECT_TRUE(arguments["days"].is_number_integer()) << arguments;
  }
  if (arguments.contains("unit")) {
    EXPECT_TRUE(arguments["unit"] == "c" || arguments["unit"] == "f") << arguments;
  }
  if (arguments.contains("place")) {
    EXPECT_TRUE(arguments["place"]["x"].is_boolean()) << arguments;
  }
}

void ExpectCall(const std::pair<std::string, std::string>& call) {
  // What a number of any length holds is no matter here.
  const absl::StatusOr<Json> arguments = ParseJson(call.second, {.max_number_digits = 100'000});
  if (!arguments.ok()) {
    EXPECT_THAT(arguments.status().message(), ::testing::AnyOf(HasSubstr("given twice"), HasSubstr("number"),
                                                               HasSubstr("nested"), HasSubstr("surrogate")))
        << call.second;
    return;
  }
  ASSERT_TRUE(arguments->is_object()) << call.second;
  if (call.first == "weather") ExpectWeather(*arguments);
  if (call.first == "now") {
    EXPECT_TRUE(arguments->empty()) << call.second;
  }
}

TEST(ToolCallGrammar, WhateverItAllowsIsParsedAsThoseCalls) {
  for (const OutputFormat format : kForced) {
    const auto grammar = Calls(format, {});
    ASSERT_TRUE(grammar.ok()) << OutputFormatName(format) << ": " << grammar.status();
    Speaker speaker(*grammar, 5);
    size_t calls = 0;
    for (int i = 0; i < 200; ++i) {
      const std::string text = speaker.Say();
      const ParsedOutput parsed = ParseWhole(format, {.tools = Tools()}, text);
      ASSERT_GE(parsed.calls.size(), 1u) << OutputFormatName(format) << ": " << text;
      EXPECT_EQ(parsed.content, "") << OutputFormatName(format) << ": " << text;
      for (const auto& call : parsed.calls) {
        ExpectCall(call);
        EXPECT_TRUE(call.first == "weather" || call.first == "now" || call.first == "any") << call.first;
      }
      calls += parsed.calls.size();
      if (HasFailure()) FAIL() << OutputFormatName(format) << ": " << text;
    }
    std::cout << OutputFormatName(format) << ": " << calls << " calls in 200 answers\n";
  }
}

std::shared_ptr<const TokenVocabulary> Bytes() {
  std::vector<std::string> bytes;
  for (int byte = 0; byte < 256; ++byte) bytes.emplace_back(1, static_cast<char>(byte));
  bytes.emplace_back("</s>");
  std::vector<bool> special(257, false);
  special[256] = true;
  return TokenVocabulary::Make(std::move(bytes), std::move(special), {256});
}

struct Row {
  OutputFormat format;
  const char* text;
  bool allowed;
};

void ExpectRows(const std::vector<Row>& rows, const ToolCallGrammarOptions& options) {
  for (const Row& row : rows) {
    const auto grammar = Calls(row.format, options);
    ASSERT_TRUE(grammar.ok()) << grammar.status();
    const auto compiled = CompiledGrammar::Compile(*grammar, Bytes());
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    GrammarMatcher matcher(*compiled);
    EXPECT_EQ(matcher.AcceptBytes(row.text) && matcher.CanEnd(), row.allowed) << row.text;
  }
}

TEST(ToolCallGrammar, AllowsWhatEachFormatWrites) {
  const char* const tags =
      "<tool_call>\n<function=weather>\n<parameter=city>\na <b> c\n</parameter>\n<parameter=days>\n3\n</parameter>\n"
      "<parameter=date>\n2026-11\n</parameter>\n</function>\n</tool_call>";
  ExpectRows({{OutputFormat::kHermes, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>", true},
              {OutputFormat::kHermes, "{\"name\": \"now\", \"arguments\": {}}", false},
              {OutputFormat::kNanoV2,
               "<TOOLCALL>[{\"name\": \"now\", \"arguments\": {}}, {\"name\": \"any\", \"arguments\": "
               "{\"a\": [1]}}]</TOOLCALL>",
               true},
              {OutputFormat::kLlama3Json,
               "{\"name\": \"now\", \"parameters\": {}}; {\"name\": \"now\", \"parameters\": {}}", true},
              {OutputFormat::kMistralV11, "[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]any[ARGS]{}", true},
              {OutputFormat::kMistral, "[TOOL_CALLS][{\"name\": \"now\", \"arguments\": {}}]", true},
              {OutputFormat::kMistral, "[TOOL_CALLS][{\"name\": \"never\", \"arguments\": {}}]", false},
              {OutputFormat::kDeepSeekV3,
               "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```"
               "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
               true},
              {OutputFormat::kHarmony, "<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}", true},
              {OutputFormat::kHarmony,
               "<|channel|>analysis<|message|>a<b<|end|><|start|>assistant<|channel|>commentary "
               "to=functions.now <|constrain|>json<|message|>{}",
               true},
              {OutputFormat::kNemotron3, tags, true},
              {OutputFormat::kNemotron3, "<tool_call>\n<function=now>\n</function>\n</tool_call>", true},
              // A required parameter is missing; a value that does not match; the end marker inside a value.
              {OutputFormat::kNemotron3,
               "<tool_call>\n<function=weather>\n<parameter=city>\na\n</parameter>\n</function>\n"
               "</tool_call>",
               false},
              {OutputFormat::kNemotron3,
               "<tool_call>\n<function=weather>\n<parameter=city>\na\n</parameter>\n"
               "<parameter=date>\n26-11\n</parameter>\n</function>\n</tool_call>",
               false},
              {OutputFormat::kNemotron3,
               "<tool_call>\n<function=any>\n<parameter=a>\nb</function>\n</parameter>\n"
               "</function>\n</tool_call>",
               false},
              {OutputFormat::kDeepSeekV32,
               "<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"any\">\n<｜DSML｜parameter name=\"a\" "
               "string=\"true\">b</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
               true}},
             {});
}

TEST(ToolCallGrammar, KeepsToTheNamesAllowedAndToOneCall) {
  ExpectRows({{OutputFormat::kMistralV11, "[TOOL_CALLS]now[ARGS]{}", true},
              {OutputFormat::kMistralV11, "[TOOL_CALLS]any[ARGS]{}", false},
              {OutputFormat::kMistralV11, "[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]now[ARGS]{}", false}},
             {.names = {"now"}, .parallel = false});
}

TEST(ToolCallGrammar, RefusesWhatItCannotSay) {
  const auto message = [](OutputFormat format, const ToolCallGrammarOptions& options, const char* tools) {
    const absl::Status status = Calls(format, options, *ParseJson(tools)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  };
  const auto hermes = OutputFormat::kHermes, tags = OutputFormat::kQwen3Coder;
  EXPECT_THAT(message(OutputFormat::kPlain, {}, "[]"), HasSubstr("cannot be forced in the output format \"none\""));
  EXPECT_THAT(message(OutputFormat::kPythonic, {}, "[]"), HasSubstr("\"pythonic\""));
  EXPECT_THAT(message(hermes, {}, "[]"), HasSubstr("want at least one"));
  EXPECT_THAT(message(hermes, {}, "[{\"name\": 7}]"), HasSubstr("an entry has no name"));
  EXPECT_THAT(message(hermes, {.names = {"g"}}, "[{\"name\": \"f\"}]"), HasSubstr("\"g\" is not among the tools"));
  EXPECT_THAT(message(tags, {}, "[{\"name\": \"a b\"}]"), HasSubstr("the name \"a b\" cannot be written"));
  EXPECT_THAT(message(tags, {}, R"([{"name": "f", "parameters": {"properties": {"a>": {}}}}])"),
              HasSubstr("tool \"f\": parameter \"a>\" cannot be written"));
  EXPECT_THAT(
      message(tags, {}, R"([{"name": "f", "parameters": {"properties": {"a": {"type": "string", "pattern": "("}}}}])"),
      HasSubstr("tool \"f\": parameter \"a\": pattern: "));
  EXPECT_THAT(message(hermes, {}, R"([{"name": "f", "parameters": {"type": "objekt"}}])"), HasSubstr("tool \"f\": "));
}

}  // namespace
}  // namespace braid
