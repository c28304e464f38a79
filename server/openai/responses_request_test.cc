#include "server/openai/responses_request.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

const ServingLimits kLimits;
const GenerationDefaults kDefaults{.temperature = 0.6f};
const RequestRules kRules{kLimits, kDefaults, 100};

absl::StatusOr<ResponsesRequest> Read(const std::string& body) {
  auto json = ParseJson(body);
  EXPECT_TRUE(json.ok()) << body << json.status();
  return ReadResponsesRequest(*json, kRules);
}
absl::StatusOr<ResponsesRequest> With(const std::string& fields) { return Read(R"({"input":"hi")" + fields + "}"); }

Json MessagesOf(const std::string& fields) {
  const auto request = Read("{" + fields + "}");
  EXPECT_TRUE(request.ok()) << fields << request.status();
  return request.ok() ? request->chat.input.messages : Json();
}
Json Parsed(const char* text) { return *ParseJson(text); }

TEST(ResponsesRequest, TextIsTheUsersMessage) {
  EXPECT_EQ(MessagesOf(R"("input":"hi")"), Parsed(R"([{"role":"user","content":"hi"}])"));
  EXPECT_EQ(MessagesOf(R"("input":"hi","instructions":"Be brief.")"),
            Parsed(R"([{"role":"system","content":"Be brief."},{"role":"user","content":"hi"}])"));
}

TEST(ResponsesRequest, InstructionsJoinASystemMessage) {
  EXPECT_EQ(MessagesOf(R"("input":[{"role":"developer","content":"b"},{"role":"user","content":"hi"}],"instructions":"a")"),
            Parsed(R"([{"role":"developer","content":"a\n\nb"},{"role":"user","content":"hi"}])"));
}

TEST(ResponsesRequest, AssistantsItemsAreOneMessage) {
  const Json messages = MessagesOf(R"("input":[
      {"type":"message","role":"user","content":[{"type":"input_text","text":"1+"},{"type":"input_text","text":"1?"}]},
      {"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"s"}],"content":[{"type":"reasoning_text","text":"hm"}]},
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Let me","annotations":[]}]},
      {"type":"function_call","call_id":"c1","name":"add","arguments":"{\"a\":1}"},
      {"type":"function_call","call_id":"c2","name":"add","arguments":""},
      {"type":"function_call_output","call_id":"c1","output":"2"},
      {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"3"}]},
      {"role":"assistant","content":"So"},
      {"role":"assistant","content":"2."}])");
  ASSERT_EQ(messages.size(), 6u) << WriteJson(messages);
  EXPECT_EQ(messages[0]["content"], "1+1?");
  EXPECT_EQ(messages[1], Parsed(R"({"role":"assistant","content":"Let me","reasoning_content":"hm","tool_calls":[
      {"id":"c1","type":"function","function":{"name":"add","arguments":"{\"a\":1}"}},
      {"id":"c2","type":"function","function":{"name":"add","arguments":""}}]})"));
  EXPECT_EQ(messages[2], Parsed(R"({"role":"tool","tool_call_id":"c1","content":"2"})"));
  EXPECT_EQ(messages[3], Parsed(R"({"role":"tool","tool_call_id":"c2","content":"3"})"));
  EXPECT_EQ(messages[4]["content"], "So");
  EXPECT_EQ(messages[5]["content"], "2.");
}

TEST(ResponsesRequest, FieldsMeanWhatAChatsDo) {
  const auto request = With(R"(,"model":"m","max_output_tokens":7,"temperature":0.5,"top_p":0.25,"stream":true,"truncation":"auto",
      "top_logprobs":3,"include":["message.output_text.logprobs"],"reasoning":{"effort":"low","summary":"auto"},"store":true,
      "tools":[{"type":"function","name":"add","parameters":{"type":"object"},"strict":true}],"seed":5,
      "tool_choice":{"type":"function","name":"add"},"parallel_tool_calls":false)");
  ASSERT_TRUE(request.ok()) << request.status();
  const GenerationOptions& options = request->chat.options;
  EXPECT_EQ(options.model, "m");
  EXPECT_EQ(options.max_tokens, 7);
  EXPECT_EQ(options.sampling.temperature, 0.5f);
  EXPECT_EQ(options.sampling.top_p, 0.25f);
  EXPECT_EQ(options.sampling.logprobs, 3);
  EXPECT_EQ(options.sampling.seed, 5u);
  EXPECT_TRUE(options.stream);
  EXPECT_EQ(options.truncate_prompt_tokens, -1);
  EXPECT_EQ(options.output.tool_choice.name, "add");
  EXPECT_FALSE(options.output.parallel_tool_calls);
  EXPECT_EQ(request->chat.input.kwargs, Parsed(R"({"reasoning_effort":"low","enable_thinking":true})"));
  EXPECT_EQ(request->chat.input.tools,
            Parsed(R"([{"type":"function","function":{"name":"add","parameters":{"type":"object"},"strict":true}}])"));
  EXPECT_EQ(With(R"(,"top_logprobs":3)")->chat.options.sampling.logprobs, -1);
  EXPECT_TRUE(With(R"(,"tools":[],"tool_choice":"auto")").ok());
}

TEST(ResponsesRequest, TextFormatsAreStructuredOutputs) {
  using Kind = StructuredOutput::Kind;
  const auto kind = [](const char* format) {
    const auto request = With(absl::StrCat(R"(,"text":{"format":)", format, "}"));
    EXPECT_TRUE(request.ok()) << request.status();
    return request.ok() ? request->chat.options.output.structured : StructuredOutput{};
  };
  EXPECT_EQ(kind(R"({"type":"text"})").kind, Kind::kNone);
  EXPECT_EQ(kind(R"({"type":"json_object"})").kind, Kind::kJsonObject);
  const StructuredOutput schema = kind(R"({"type":"json_schema","name":"n","schema":{"type":"object"},"strict":true})");
  EXPECT_EQ(schema.kind, Kind::kJsonSchema);
  EXPECT_EQ(schema.schema, Parsed(R"({"type":"object"})"));
  EXPECT_EQ(schema.field, "text.format");
}

TEST(ResponsesRequest, TheReplyRepeatsTheRequest) {
  const Json plain = With("")->echo;
  EXPECT_EQ(WriteJson(plain["temperature"]), "0.6");
  EXPECT_EQ(plain["tools"], Json::array());
  EXPECT_EQ(plain["tool_choice"], "auto");
  EXPECT_EQ(plain["text"], Parsed(R"({"format":{"type":"text"}})"));
  EXPECT_EQ(plain["store"], false);
  EXPECT_TRUE(plain["instructions"].is_null());
  const Json full = With(R"(,"instructions":"i","metadata":{"a":"b"},"text":{"verbosity":"low"},"user":"u","max_output_tokens":9)")->echo;
  EXPECT_EQ(full["instructions"], "i");
  EXPECT_EQ(full["metadata"], Parsed(R"({"a":"b"})"));
  EXPECT_EQ(full["text"], Parsed(R"({"verbosity":"low","format":{"type":"text"}})"));
  EXPECT_EQ(full["user"], "u");
  EXPECT_EQ(full["max_output_tokens"], 9);
}

TEST(ResponsesRequest, ErrorsNameTheFieldOfThisApi) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"input":[]})", "input"},
      {R"({"input":5})", "input"},
      {R"({})", "input"},
      {R"({"input":[{"role":"wizard","content":"x"}]})", "input[0].role"},
      {R"({"input":[{"role":"user"}]})", "input[0].content"},
      {R"({"input":[{"role":"user","content":[{"type":"input_image","image_url":"x"}]}]})", "input[0].content[0].type: \"input_image\""},
      {R"({"input":[{"type":"web_search_call"}]})", "input[0].type: \"web_search_call\""},
      {R"({"input":[{"type":"item_reference","id":"x"}]})", "input[0]: references to items"},
      {R"({"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"[1]"}]})", "input[0].arguments"},
      {R"({"input":[{"type":"function_call_output","output":"x"}]})", "input[0].call_id"},
      {R"({"input":"x","previous_response_id":"resp_1"})", "previous_response_id"},
      {R"({"input":"x","background":true})", "background"},
      {R"({"input":"x","conversation":"c"})", "conversation"},
      {R"({"input":"x","tools":[{"type":"web_search"}]})", "tools[0].type: \"web_search\""},
      {R"({"input":"x","tools":[{"type":"function"}]})", "tools[0].name"},
      {R"({"input":"x","tools":[{"type":"function","name":""}]})", "tools[0].name"},
      {R"({"input":"x","tools":[{"type":"function","name":"f","strict":1}]})", "tools[0].function.strict"},
      {R"({"input":"x","text":{"verbosity":5}})", "text.verbosity"},
      {R"({"input":"x","reasoning":{"summary":5}})", "reasoning.summary"},
      {R"({"input":"x","stream":true,"stream_options":5})", "stream_options"},
      {R"({"input":"x","stream":true,"stream_options":{"include_obfuscation":5}})", "stream_options: include_obfuscation"},
      {R"({"input":"x","stream_options":{}})", "stream_options"},
      {R"({"input":"x","tool_choice":"required"})", "tool_choice"},
      {R"({"input":"x","tool_choice":{"type":"file_search"}})", "tool_choice"},
      {R"({"input":"x","text":{"format":{"type":"xml"}}})", "text.format"},
      {R"({"input":"x","text":{"format":{"type":"json_schema","name":"n"}}})", "text.format"},
      {R"({"input":"x","reasoning":{"effort":"huge"}})", "reasoning.effort"},
      {R"({"input":"x","max_output_tokens":0})", "max_output_tokens"},
      {R"({"input":"x","temperature":3})", "temperature"},
      {R"({"input":"x","truncation":"middle"})", "truncation"},
      {R"({"input":"x","top_logprobs":21})", "top_logprobs"},
      {R"({"input":"x","include":[1]})", "include"},
      {R"({"input":"x","metadata":{"a":1}})", "metadata"},
  };
  for (const auto& [body, words] : cases) {
    const auto request = Read(body);
    EXPECT_EQ(request.status().code(), absl::StatusCode::kInvalidArgument) << body;
    EXPECT_TRUE(absl::StartsWith(request.status().message(), words)) << body << " " << request.status();
  }
  EXPECT_EQ(CodeOf(Read(R"({"input":"x","previous_response_id":"r"})").status()), "previous_response_not_found");
  EXPECT_FALSE(With(absl::StrCat(R"(,"metadata":{"a":")", std::string(513, 'x'), "\"}")).ok());
}

TEST(ResponsesRequest, AnyBodyIsReadOrRefused) {
  const std::string good = R"({"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","summary":[]},
      {"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"x"}],
      "tools":[{"type":"function","name":"f","parameters":{}}],"tool_choice":"auto","text":{"format":{"type":"json_object"}},
      "metadata":{"a":"b"},"include":["x"],"reasoning":{"effort":"low"},"instructions":"i","temperature":1})";
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
    const auto request = ReadResponsesRequest(*json, kRules);
    read += request.ok();
    EXPECT_TRUE(request.ok() || absl::IsInvalidArgument(request.status())) << request.status();
  }
  EXPECT_GT(parsed, 1000);
  EXPECT_GT(read, 100);
}

}  // namespace
}  // namespace braid
