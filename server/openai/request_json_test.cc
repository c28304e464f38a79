#include "server/openai/request_json.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

Json Parsed(const std::string& text) {
  auto json = ParseJson(text);
  EXPECT_TRUE(json.ok()) << text << json.status();
  return json.ok() ? *std::move(json) : Json();
}

const ServingLimits kLimits;
const GenerationDefaults kDefaults;
const RequestRules kRules{kLimits, kDefaults, 100};

absl::StatusOr<ChatRequest> Chat(const std::string& fields) {
  return ReadChatRequest(Parsed(R"({"messages":[{"role":"user","content":"hi"}])" + fields + "}"), kRules);
}

absl::StatusOr<CompletionRequest> Completion(const std::string& fields) {
  return ReadCompletionRequest(Parsed(R"({"model":"m")" + fields + "}"), kRules);
}

TEST(RequestJson, ChatDefaults) {
  const auto request = Chat(R"(,"temperature":null,"unknown":[1])");
  ASSERT_TRUE(request.ok()) << request.status();
  EXPECT_EQ(request->options.sampling.temperature, 1.0f);
  EXPECT_EQ(request->options.sampling.logprobs, -1);
  EXPECT_EQ(request->options.n, 1);
  EXPECT_FALSE(request->options.max_tokens.has_value());
  EXPECT_TRUE(request->input.add_generation_prompt);
  EXPECT_TRUE(request->options.skip_special_tokens);
}

TEST(RequestJson, ChatFields) {
  const auto request = Chat(R"(,"max_tokens":9,"max_completion_tokens":7,"temperature":0,"top_p":0.5,"top_k":-1,"min_p":0.1,
    "frequency_penalty":-2,"presence_penalty":2,"repetition_penalty":1.5,"logit_bias":{"3":-100,"99":1.5},"logprobs":true,
    "top_logprobs":20,"n":3,"best_of":3,"seed":-5,"stop":["a","b"],"stop_token_ids":[1],"include_stop_str_in_output":true,
    "ignore_eos":true,"min_tokens":2,"allowed_token_ids":[4],"stream":true,
    "stream_options":{"include_usage":true,"continuous_usage_stats":true},"priority":-4,"return_token_ids":true,
    "reasoning_effort":"low","chat_template_kwargs":{"enable_thinking":false},"response_format":{"type":"text"}, "user":"u")");
  ASSERT_TRUE(request.ok()) << request.status();
  const GenerationOptions& options = request->options;
  EXPECT_EQ(options.max_tokens, 7);
  EXPECT_EQ(options.sampling.logit_bias.size(), 2u);
  EXPECT_EQ(options.sampling.logprobs, 20);
  EXPECT_EQ(options.sampling.seed, static_cast<uint64_t>(-5));
  EXPECT_EQ(options.stop.size(), 2u);
  EXPECT_TRUE(options.continuous_usage_stats);
  EXPECT_EQ(options.priority, -4);
  EXPECT_EQ(request->input.kwargs["reasoning_effort"], "low");
  EXPECT_EQ(request->input.kwargs["enable_thinking"], false);
}

struct BadField {
  const char* fields;
  const char* param;
};

TEST(RequestJson, ChatErrorsNameTheField) {
  const BadField table[] = {
      {R"(,"temperature":2.1)", "temperature"}, {R"(,"temperature":"1")", "temperature"}, {R"(,"temperature":true)", "temperature"},
      {R"(,"top_p":-0.1)", "top_p"}, {R"(,"top_k":1.5)", "top_k"}, {R"(,"top_k":-2)", "top_k"}, {R"(,"min_p":2)", "min_p"},
      {R"(,"frequency_penalty":3)", "frequency_penalty"}, {R"(,"repetition_penalty":0)", "repetition_penalty"},
      {R"(,"logit_bias":{"100":1})", "logit_bias"}, {R"(,"logit_bias":{"x":1})", "logit_bias"}, {R"(,"logit_bias":{"1":101})", "logit_bias"},
      {R"(,"logit_bias":[1])", "logit_bias"}, {R"(,"top_logprobs":2)", "top_logprobs"}, {R"(,"logprobs":1)", "logprobs"},
      {R"(,"logprobs":true,"top_logprobs":21)", "top_logprobs"}, {R"(,"n":0)", "n"}, {R"(,"n":129)", "n"}, {R"(,"n":true)", "n"},
      {R"(,"n":2,"best_of":3)", "best_of"}, {R"(,"seed":1.0)", "seed"}, {R"(,"seed":18446744073709551615)", "seed"},
      {R"(,"stop":"")", "stop"}, {R"(,"stop":["a","b","c","d","e"])", "stop"}, {R"(,"stop":[1])", "stop"}, {R"(,"stop":{})", "stop"},
      {R"(,"stop_token_ids":[100])", "stop_token_ids"}, {R"(,"stop_token_ids":[-1])", "stop_token_ids"},
      {R"(,"max_tokens":0)", "max_tokens"}, {R"(,"max_tokens":99999999999)", "max_tokens"}, {R"(,"max_tokens":4,"min_tokens":5)", "min_tokens"},
      {R"(,"allowed_token_ids":[])", "allowed_token_ids"}, {R"(,"stream":1)", "stream"}, {R"(,"stream_options":{})", "stream_options"},
      {R"(,"stream":true,"stream_options":{"include_usage":1})", "stream_options"}, {R"(,"model":1)", "model"},
      {R"(,"response_format":{"type":"grammar"})", "response_format"}, {R"(,"response_format":{})", "response_format"},
      {R"(,"response_format":{"type":"json_schema"})", "response_format"}, {R"(,"response_format":{"type":"json_schema","json_schema":{"name":"x"}})", "response_format"},
      {R"(,"structured_outputs":{})", "structured_outputs"}, {R"(,"structured_outputs":{"regex":1})", "structured_outputs"},
      {R"(,"structured_outputs":{"regex":"a","choice":["b"]})", "structured_outputs"}, {R"(,"structured_outputs":{"choice":[]})", "structured_outputs"},
      {R"(,"structured_outputs":{"json":"{"})", "structured_outputs"}, {R"(,"structured_outputs":{"structural_tag":"x"})", "structured_outputs"},
      {R"(,"structured_outputs":{"structural_tag":[]})", "structured_outputs"}, {R"(,"structured_outputs":{"structural_tag":"[]"})", "structured_outputs"},
      {R"(,"structured_outputs":{"regex":"a"},"response_format":{"type":"json_object"})", "structured_outputs"},
      {R"(,"guided_regex":"a")", "guided_regex"}, {R"(,"prompt_logprobs":-2)", "prompt_logprobs"}, {R"(,"prompt_logprobs":21)", "prompt_logprobs"},
      {R"(,"prompt_logprobs":true)", "prompt_logprobs"}, {R"(,"prompt_logprobs":1,"stream":true)", "prompt_logprobs"}, {R"(,"bad_words":[""])", "bad_words"},
      {R"(,"thinking_token_budget":-2)", "thinking_token_budget"}, {R"(,"thinking_grace_tokens":3)", "thinking_grace_tokens"},
      {R"(,"truncate_prompt_tokens":0)", "truncate_prompt_tokens"}, {R"(,"echo":1)", "echo"},
      {R"(,"suffix":"a")", "suffix"}, {R"(,"chat_template":"x")", "chat_template"}, {R"(,"tools":[])", "tools"},
      {R"(,"tools":[{"type":"function","function":{"name":""}}])", "tools"},
      {R"(,"tools":[{"type":"function","function":{"name":"f","description":5}}])", "tools"},
      {R"(,"tools":[{"type":"function","function":{"name":"f","strict":"yes"}}])", "tools"},
      {R"(,"tools":[{"type":"x"}])", "tools"}, {R"(,"tool_choice":"auto")", "tool_choice"}, {R"(,"tool_choice":"maybe")", "tool_choice"},
      {R"(,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"g"}})", "tool_choice"},
      {R"(,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function"})", "tool_choice"},
      {R"(,"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required","response_format":{"type":"json_object"})", "tool_choice"},
      {R"(,"reasoning_effort":"huge")", "reasoning_effort"}, {R"(,"chat_template_kwargs":[])", "chat_template_kwargs"},
      {R"(,"add_generation_prompt":true,"continue_final_message":true)", "continue_final_message"},
      {R"(,"modalities":["audio"])", "modalities"}, {R"(,"cache_salt":"a/b")", "cache_salt"}, {R"(,"priority":0.5)", "priority"},
  };
  for (const BadField& bad : table) {
    const auto request = Chat(bad.fields);
    ASSERT_FALSE(request.ok()) << bad.fields;
    EXPECT_EQ(HttpStatusOf(request.status()), 400) << bad.fields;
    EXPECT_EQ(ParamOf(request.status()), bad.param) << request.status();
    EXPECT_TRUE(absl::StrContains(request.status().message(), bad.param)) << request.status();
  }
}

TEST(RequestJson, ReadsPromptLogprobs) {
  EXPECT_EQ(Chat("")->options.prompt_logprobs, std::nullopt);
  EXPECT_EQ(Chat(R"(,"prompt_logprobs":null,"stream":true)")->options.prompt_logprobs, std::nullopt);
  EXPECT_EQ(Chat(R"(,"prompt_logprobs":0)")->options.prompt_logprobs, 0);
  EXPECT_EQ(Completion(R"(,"prompt":"a","prompt_logprobs":20)")->options.prompt_logprobs, 20);
  EXPECT_EQ(Completion(R"(,"prompt":"a","prompt_logprobs":-1)")->options.prompt_logprobs, -1);
}

TEST(RequestJson, ReadsTheFormOfTheAnswer) {
  using Kind = StructuredOutput::Kind;
  const auto kind = [](const std::string& fields) {
    const auto request = Chat(fields);
    EXPECT_TRUE(request.ok()) << request.status();
    return request.ok() ? request->options.output.structured.kind : Kind::kNone;
  };
  EXPECT_EQ(kind(R"(,"response_format":{"type":"text"})"), Kind::kNone);
  EXPECT_EQ(kind(R"(,"response_format":{"type":"json_object"})"), Kind::kJsonObject);
  EXPECT_EQ(kind(R"(,"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":{}}})"), Kind::kJsonSchema);
  EXPECT_EQ(kind(R"(,"structured_outputs":{"json":"{}"})"), Kind::kJsonSchema);
  EXPECT_EQ(kind(R"(,"structured_outputs":{"regex":"a+","json":null})"), Kind::kRegex);
  EXPECT_EQ(kind(R"(,"structured_outputs":{"grammar":"root ::= \"a\""})"), Kind::kEbnf);
  EXPECT_EQ(kind(R"(,"structured_outputs":{"choice":["a","b"]})"), Kind::kChoice);
  EXPECT_EQ(kind(R"(,"structured_outputs":{"json_object":true})"), Kind::kJsonObject);
  EXPECT_EQ(kind(R"(,"structured_outputs":{"structural_tag":"{\"format\":{}}"})"), Kind::kStructuralTag);
  EXPECT_EQ(kind(R"(,"structured_outputs":{"structural_tag":{"format":{}}})"), Kind::kStructuralTag);
  EXPECT_EQ(kind(R"(,"response_format":{"type":"structural_tag","format":{}})"), Kind::kStructuralTag);
}

TEST(RequestJson, ReadsToolChoice) {
  using Kind = ToolChoice::Kind;
  const std::string tools = R"(,"tools":[{"type":"function","function":{"name":"f"}}])";
  const auto choice = [](const std::string& fields) { return Chat(fields)->options.output.tool_choice; };
  EXPECT_EQ(choice("").kind, Kind::kNone);
  EXPECT_EQ(choice(tools).kind, Kind::kAuto);
  EXPECT_EQ(choice(tools + R"(,"tool_choice":"required")").kind, Kind::kRequired);
  EXPECT_EQ(choice(tools + R"(,"tool_choice":{"type":"function","function":{"name":"f"}})").name, "f");
  EXPECT_EQ(choice(tools + R"(,"tool_choice":"none")").kind, Kind::kNone);
  EXPECT_TRUE(Chat(tools + R"(,"tool_choice":"none")")->input.tools.is_null());
  EXPECT_FALSE(Chat(tools + R"(,"parallel_tool_calls":false)")->options.output.parallel_tool_calls);
}

TEST(RequestJson, ChecksMessages) {
  for (const char* messages : {
           "null", "[]", "{}", "[1]", R"([{"content":"a"}])", R"([{"role":"wizard","content":"a"}])", R"([{"role":"user"}])",
           R"([{"role":"user","content":1}])", R"([{"role":"user","content":[1]}])", R"([{"role":"user","content":[{"type":"text"}]}])",
           R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"http://x"}}]}])", R"([{"role":"tool","content":"a"}])",
           R"([{"role":"assistant","tool_calls":{}}])", R"([{"role":"assistant","tool_calls":[{"function":{}}]}])"}) {
    const auto request = ReadChatRequest(Parsed(std::string(R"({"messages":)") + messages + "}"), kRules);
    ASSERT_FALSE(request.ok()) << messages;
    EXPECT_EQ(ParamOf(request.status()), "messages");
  }
  for (const char* messages : {R"([{"role":"developer","content":"a"},{"role":"user","content":[{"type":"text","text":"b"}]}])",
                               R"([{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
                                   {"role":"tool","tool_call_id":"1","content":"x"}])"}) {
    EXPECT_TRUE(ReadChatRequest(Parsed(std::string(R"({"messages":)") + messages + "}"), kRules).ok()) << messages;
  }
}

TEST(RequestJson, CompletionPrompts) {
  EXPECT_EQ(Completion(R"(,"prompt":"a")")->prompts.size(), 1u);
  EXPECT_EQ(Completion(R"(,"prompt":["a","b"])")->prompts.size(), 2u);
  EXPECT_EQ(std::get<1>(Completion(R"(,"prompt":[1,2])")->prompts[0]), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(Completion(R"(,"prompt":[[1],[2,3]])")->prompts.size(), 2u);
  EXPECT_EQ(Completion(R"(,"prompt":"a")")->options.max_tokens, 16);
  EXPECT_EQ(Completion(R"(,"prompt":"a","echo":true,"max_tokens":0)")->options.max_tokens, 0);
  for (const char* fields : {"", R"(,"prompt":1)", R"(,"prompt":[])", R"(,"prompt":[1,"a"])", R"(,"prompt":["a",1])",
                             R"(,"prompt":[[1],"a"])", R"(,"prompt":[100])", R"(,"prompt":[1.5])", R"(,"prompt":[true])", R"(,"prompt":{})"}) {
    const auto request = Completion(fields);
    ASSERT_FALSE(request.ok()) << fields;
    EXPECT_EQ(ParamOf(request.status()), "prompt");
  }
  EXPECT_EQ(ParamOf(Completion(R"(,"prompt":"a","max_tokens":0)").status()), "max_tokens");
  EXPECT_EQ(ParamOf(Completion(R"(,"prompt":"a","logprobs":6)").status()), "logprobs");
  EXPECT_EQ(ParamOf(Completion(R"(,"prompt":"a","logprobs":true)").status()), "logprobs");
}

// `count` times `item`, with commas between.
std::string Many(const std::string& item, int count) {
  std::string out = item;
  for (int i = 1; i < count; ++i) out += "," + item;
  return out;
}

std::string ParamOfMessages(int count) {
  const std::string list = Many(R"({"role":"user","content":"x"})", count);
  return ParamOf(ReadChatRequest(Parsed("{\"messages\":[" + list + "]}"), kRules).status());
}

TEST(RequestJson, CountsAreBounded) {
  EXPECT_EQ(ParamOfMessages(2048), "");
  EXPECT_EQ(ParamOfMessages(2049), "messages");
  const std::string tool = R"({"type":"function","function":{"name":"f"}})";
  EXPECT_TRUE(Chat(R"(,"tools":[)" + Many(tool, 128) + "]").ok());
  EXPECT_EQ(ParamOf(Chat(R"(,"tools":[)" + Many(tool, 129) + "]").status()), "tools");
  EXPECT_EQ(Completion(R"(,"prompt":[)" + Many("\"a\"", 1024) + "]")->prompts.size(), 1024u);
  EXPECT_EQ(ParamOf(Completion(R"(,"prompt":[)" + Many("\"a\"", 1025) + "]").status()), "prompt");
  const std::string stop(256, 's');
  EXPECT_TRUE(Chat(R"(,"stop":[)" + Many("\"" + stop + "\"", 4) + "]").ok());
  EXPECT_EQ(ParamOf(Chat(R"(,"stop":")" + stop + "s\"").status()), "stop");
}

TEST(RequestJson, BiasesAreBounded) {
  const RequestRules rules{kLimits, kDefaults, 2000};
  const auto bias = [&](int count) {
    Json body{{"messages", Json::array({Json{{"role", "user"}, {"content", "x"}}})}};
    for (int id = 0; id < count; ++id) body["logit_bias"][std::to_string(id)] = 1;
    return ReadChatRequest(body, rules);
  };
  EXPECT_TRUE(bias(1024).ok());
  EXPECT_EQ(ParamOf(bias(1025).status()), "logit_bias");
}

TEST(RequestJson, SchemasAndGrammarsAreBounded) {
  const std::string longest((256 << 10) - 2, 'a');
  EXPECT_TRUE(Chat(R"(,"structured_outputs":{"regex":")" + longest + "\"}").ok());
  EXPECT_EQ(ParamOf(Chat(R"(,"structured_outputs":{"regex":")" + longest + "aaa\"}").status()), "structured_outputs");
  const std::string schema = R"({"type":"json_schema","json_schema":{"name":"s","schema":{"title":")" + longest + "\"}}}";
  EXPECT_EQ(ParamOf(Chat(R"(,"response_format":)" + schema).status()), "response_format");
  const std::string tag = R"({"type":"structural_tag","triggers":["<f"],"structures":[{"begin":"<f>","end":")" + longest + "\"}]}";
  EXPECT_EQ(ParamOf(Chat(R"(,"response_format":)" + tag).status()), "response_format");
}

TEST(RequestJson, BodyMustBeAnObject) {
  EXPECT_FALSE(ReadChatRequest(Json::array(), kRules).ok());
  EXPECT_FALSE(ReadTokenizeRequest(Json("x"), kRules).ok());
  EXPECT_FALSE(ReadDetokenizeRequest(Parsed(R"({"tokens":[100]})"), kRules).ok());
}

}  // namespace
}  // namespace braid
