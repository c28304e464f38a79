#include "server/anthropic/messages_request.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace braid {
namespace {

const ServingLimits kLimits;
const GenerationDefaults kDefaults;
const RequestRules kRules{kLimits, kDefaults, 100};

absl::StatusOr<ChatRequest> Read(const std::string& body) {
  auto json = ParseJson(body);
  EXPECT_TRUE(json.ok()) << body << json.status();
  return ReadMessagesRequest(*json, kRules);
}
absl::StatusOr<ChatRequest> With(const std::string& fields) {
  return Read(R"({"max_tokens":9,"messages":[{"role":"user","content":"hi"}])" + fields + "}");
}
Json MessagesOf(const std::string& fields) {
  const auto request = Read(R"({"max_tokens":9,)" + fields + "}");
  EXPECT_TRUE(request.ok()) << fields << request.status();
  return request.ok() ? request->input.messages : Json();
}
Json Parsed(const char* text) { return *ParseJson(text); }

TEST(MessagesRequest, SystemAndText) {
  EXPECT_EQ(MessagesOf(R"("system":"s","messages":[{"role":"user","content":"hi"}])"),
            Parsed(R"([{"role":"system","content":"s"},{"role":"user","content":"hi"}])"));
  EXPECT_EQ(MessagesOf(R"("system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}},{"type":"text","text":"b"}],
                          "messages":[{"role":"user","content":[{"type":"text","text":"h"},{"type":"text","text":"i"}]}])"),
            Parsed(R"([{"role":"system","content":"ab"},{"role":"user","content":"hi"}])"));
}

TEST(MessagesRequest, ToolUseAndResults) {
  const Json messages = MessagesOf(R"("messages":[
      {"role":"user","content":"1+1?"},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"x"},
        {"type":"text","text":"Let me"},{"type":"tool_use","id":"t1","name":"add","input":{"a":1}},{"type":"tool_use","id":"t2","name":"add","input":{}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"2"},
        {"type":"tool_result","tool_use_id":"t2","content":[{"type":"text","text":"3"}],"is_error":true},
        {"type":"tool_result","tool_use_id":"t3"},{"type":"text","text":"and?"}]}])");
  ASSERT_EQ(messages.size(), 6u) << WriteJson(messages);
  EXPECT_EQ(messages[1], Parsed(R"({"role":"assistant","content":"Let me","reasoning_content":"hm","tool_calls":[
      {"id":"t1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}},
      {"id":"t2","type":"function","function":{"name":"add","arguments":"{}"}}]})"));
  EXPECT_EQ(messages[2], Parsed(R"({"role":"tool","tool_call_id":"t1","content":"2"})"));
  EXPECT_EQ(messages[3]["content"], "3");
  EXPECT_EQ(messages[4]["content"], "");
  EXPECT_EQ(messages[5], Parsed(R"({"role":"user","content":"and?"})"));
}

TEST(MessagesRequest, FieldsMeanWhatAChatsDo) {
  const auto request = With(R"(,"model":"m","temperature":0.5,"top_p":0.25,"top_k":3,"stream":true,"stop_sequences":["a","b"],"seed":5,
      "tools":[{"name":"add","description":"d","input_schema":{"type":"object"}}],"metadata":{"user_id":"u"},
      "tool_choice":{"type":"any","disable_parallel_tool_use":true})");
  ASSERT_TRUE(request.ok()) << request.status();
  const GenerationOptions& options = request->options;
  EXPECT_EQ(options.model, "m");
  EXPECT_EQ(options.max_tokens, 9);
  EXPECT_EQ(options.sampling.temperature, 0.5f);
  EXPECT_EQ(options.sampling.top_p, 0.25f);
  EXPECT_EQ(options.sampling.top_k, 3);
  EXPECT_EQ(options.sampling.seed, 5u);
  EXPECT_TRUE(options.stream);
  EXPECT_EQ(options.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.output.tool_choice.kind, ToolChoice::Kind::kRequired);
  EXPECT_FALSE(options.output.parallel_tool_calls);
  EXPECT_EQ(request->input.tools, Parsed(R"([{"type":"function","function":{"name":"add","description":"d","parameters":{"type":"object"}}}])"));
}

TEST(MessagesRequest, ToolChoices) {
  const auto kind = [](const char* choice) {
    const auto request = With(absl::StrCat(R"(,"tools":[{"name":"add","input_schema":{}}],"tool_choice":)", choice));
    EXPECT_TRUE(request.ok()) << request.status();
    return request.ok() ? request->options.output.tool_choice.kind : ToolChoice::Kind::kNone;
  };
  EXPECT_EQ(kind(R"({"type":"auto"})"), ToolChoice::Kind::kAuto);
  EXPECT_EQ(kind(R"({"type":"none"})"), ToolChoice::Kind::kNone);
  EXPECT_EQ(kind(R"({"type":"tool","name":"add"})"), ToolChoice::Kind::kNamed);
  EXPECT_TRUE(With(R"(,"tools":[],"tool_choice":{"type":"auto"})").ok());
}

TEST(MessagesRequest, Thinking) {
  const auto with = [](const char* thinking) {
    return *Read(absl::StrCat(R"({"max_tokens":2049,"messages":[{"role":"user","content":"hi"}],"thinking":)", thinking, "}"));
  };
  const ChatRequest enabled = with(R"({"type":"enabled","budget_tokens":2048})");
  EXPECT_EQ(enabled.options.output.thinking_budget, 2048);
  EXPECT_EQ(enabled.input.kwargs["enable_thinking"], true);
  EXPECT_EQ(with(R"({"type":"disabled"})").input.kwargs["enable_thinking"], false);
  EXPECT_EQ(with(R"({"type":"adaptive"})").input.kwargs["enable_thinking"], true);
  EXPECT_EQ(with(R"({"type":"adaptive"})").options.output.thinking_budget, -1);
  EXPECT_FALSE(with(R"({"type":"adaptive","display":"omitted"})").options.output.include_reasoning);
  EXPECT_TRUE(With("")->input.kwargs.empty());
}

TEST(MessagesRequest, OutputConfig) {
  const auto request = With(R"(,"output_config":{"effort":"low","format":{"type":"json_schema","schema":{"type":"object"}}})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->options.output.structured.kind, StructuredOutput::Kind::kJsonSchema);
  EXPECT_EQ(request->options.output.structured.field, "output_config");
  EXPECT_EQ(request->input.kwargs, Parsed(R"({"reasoning_effort":"low"})"));
}

TEST(MessagesRequest, ALastMessageOfTheAssistantIsGoneOnWith) {
  const auto request = Read(R"({"max_tokens":9,"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"He"}]}]})");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_TRUE(request->input.continue_final_message);
  EXPECT_FALSE(request->input.add_generation_prompt);
}

TEST(MessagesRequest, CountingNeedsNoMaxTokens) {
  const Json body = Parsed(R"({"messages":[{"role":"user","content":"hi"}]})");
  EXPECT_TRUE(ReadCountTokensRequest(body, kRules).ok());
  EXPECT_EQ(ReadMessagesRequest(body, kRules).status().message(), "max_tokens: is missing");
}

TEST(MessagesRequest, ErrorsNameTheFieldOfThisApi) {
  const std::pair<const char*, const char*> cases[] = {
      {R"(,"max_tokens":0)", "max_tokens"},
      {R"(,"temperature":1.5)", "temperature"},
      {R"(,"stop_sequences":["a","b","c","d","e"])", "stop_sequences"},
      {R"(,"stop_sequences":[""])", "stop_sequences"},
      {R"(,"system":[{"type":"image"}])", "system[0].type: \"image\""},
      {R"(,"system":5)", "system"},
      {R"(,"tools":[{"type":"web_search_20250305","name":"web_search"}])", "tools[0].type: \"web_search_20250305\""},
      {R"(,"tools":[{"name":"x"}])", "tools[0].input_schema"},
      {R"(,"tool_choice":{"type":"any"})", "tool_choice"},
      {R"(,"tool_choice":{"type":"tool"})", "tool_choice"},
      {R"(,"tool_choice":{"type":"auto","disable_parallel_tool_use":1})", "tool_choice"},
      {R"(,"thinking":{"type":"enabled"})", "thinking: budget_tokens"},
      {R"(,"thinking":{"type":"enabled","budget_tokens":5})", "thinking: budget_tokens"},
      {R"(,"thinking":{"type":"enabled","budget_tokens":2048})", "thinking: budget_tokens: must be less than max_tokens (9)"},
      {R"(,"thinking":{"type":"hard"})", "thinking: type"},
      {R"(,"output_config":{"effort":"huge"})", "output_config: effort"},
      {R"(,"output_config":{"format":{"type":"xml"}})", "output_config: format"},
      {R"(,"metadata":{"user_id":5})", "metadata: user_id"},
      {R"(,"mcp_servers":[{"url":"x"}])", "mcp_servers"},
      {R"(,"messages":[])", "messages"},
      {R"(,"messages":[{"role":"tool","content":"x"}])", "messages[0].role"},
      {R"(,"messages":[{"role":"user"}])", "messages[0].content"},
      {R"(,"messages":[{"role":"user","content":[{"type":"image","source":{}}]}])", "messages[0].content[0].type: \"image\""},
      {R"(,"messages":[{"role":"user","content":[{"type":"tool_result","content":"x"}]}])", "messages[0].content[0].tool_use_id"},
      {R"(,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image"}]}]}])",
       "messages[0].content[0].content[0].type: \"image\""},
      {R"(,"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"n","input":"x"}]}])", "messages[0].content[0].input"},
  };
  for (const auto& [fields, words] : cases) {
    Json body = Parsed(R"({"max_tokens":9,"messages":[{"role":"user","content":"hi"}]})");
    body.update(*ParseJson(absl::StrCat("{\"x\":0", fields, "}")));
    const auto request = ReadMessagesRequest(body, kRules);
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << fields;
    EXPECT_TRUE(absl::StartsWith(request.status().message(), words)) << fields << " " << request.status();
  }
}

TEST(MessagesRequest, AnyBodyIsReadOrRefused) {
  const std::string good = R"({"model":"m","max_tokens":9,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"hi"},
      {"role":"assistant","content":[{"type":"thinking","thinking":"t"},{"type":"tool_use","id":"i","name":"n","input":{}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":"x"},{"type":"text","text":"y"}]}],
      "tools":[{"name":"n","input_schema":{}}],"tool_choice":{"type":"auto"},"thinking":{"type":"disabled"},"stop_sequences":["a"],
      "output_config":{"effort":"low"},"metadata":{"user_id":"u"},"temperature":1,"chat_template_kwargs":{}})";
  std::mt19937 random(3);
  int parsed = 0, read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string body = good;
    for (int edit = 0; edit < 1 + round % 2; ++edit) {
      const size_t at = random() % body.size(), from = random() % good.size();
      if (random() % 2 == 0) body[at] = "{}[]\",:0-1etn"[random() % 13];
      else body.replace(at, random() % 12, good.substr(from, random() % 12));
    }
    const auto json = ParseJson(body);
    if (!json.ok()) continue;
    ++parsed;
    const auto request = ReadMessagesRequest(*json, kRules);
    read += request.ok();
    EXPECT_TRUE(request.ok() || absl::IsInvalidArgument(request.status())) << request.status();
  }
  EXPECT_GT(parsed, 1000);
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace braid
