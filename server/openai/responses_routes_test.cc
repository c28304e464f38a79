#include "server/openai/test_front.h"

namespace braid {
namespace {

class ResponsesTest : public FrontTest {
 protected:
  std::string Respond(std::string_view fields) { return Post("/v1/responses", std::string(R"({"input":"hi")").append(fields).append("}")); }
};

const char kTool[] = R"(,"tools":[{"type":"function","name":"add","parameters":{"type":"object","properties":{"a":{"type":"integer"}}}}])";

TEST_F(ResponsesTest, WholeReply) {
  const std::string reply = Respond(R"(,"model":"tiny","instructions":"Be brief.","metadata":{"k":"v"})");
  ASSERT_EQ(StatusOf(reply), 200) << reply;
  const Json response = Parsed(reply);
  EXPECT_EQ(response["status"], "completed");
  EXPECT_EQ(response["model"], "tiny");
  EXPECT_EQ(response["metadata"]["k"], "v");
  EXPECT_EQ(response["output"].size(), 1u);
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "Hello");
  EXPECT_EQ(response["usage"]["output_tokens"], 6);
  EXPECT_EQ(source_->requests().back().prompt.size(), 10 + 9 + 1 + 5u);  // "<|system|>" is text to this tokenizer
}

TEST_F(ResponsesTest, ReasoningTextAndCallsAreItems) {
  Restart({.text = kRichAnswer});
  const Json response = Parsed(Respond(kTool));
  const Json& output = response["output"];
  ASSERT_EQ(output.size(), 4u) << WriteJson(response);
  EXPECT_EQ(output[0]["content"][0]["text"], "hm");
  EXPECT_EQ(output[1]["content"][0]["text"], "Well");
  EXPECT_EQ(*ParseJson(output[2]["arguments"].get<std::string>()), (Json{{"a", 1}}));
  EXPECT_EQ(*ParseJson(output[3]["arguments"].get<std::string>()), (Json{{"a", 2}}));
  EXPECT_NE(output[2]["call_id"], output[3]["call_id"]);
  EXPECT_GT(response["usage"]["output_tokens_details"]["reasoning_tokens"], 0);
  EXPECT_EQ(Parsed(Respond(std::string(kTool) + R"(,"parallel_tool_calls":false)"))["output"].size(), 3u);
}

TEST_F(ResponsesTest, StreamEqualsWhole) {
  Restart({.text = kRichAnswer});
  const auto events = Events(Respond(std::string(kTool) + R"(,"stream":true)"));
  EXPECT_EQ(Order(events), (std::vector<std::string>{
      "response.created", "response.in_progress",
      "response.output_item.added", "response.reasoning_text.delta", "response.reasoning_text.done", "response.output_item.done",
      "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.done",
      "response.content_part.done", "response.output_item.done",
      "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done",
      "response.output_item.done",
      "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done",
      "response.output_item.done", "response.completed"}));
  std::string text, arguments;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].data["sequence_number"], i);
    if (events[i].name == "response.output_text.delta") text += events[i].data["delta"];
    if (events[i].name == "response.function_call_arguments.delta") arguments += events[i].data["delta"];
  }
  EXPECT_EQ(text, "Well");
  const Json last = events.back().data["response"], whole = Parsed(Respond(kTool));
  ASSERT_EQ(last["output"].size(), whole["output"].size());
  EXPECT_EQ(arguments, whole["output"][2]["arguments"].get<std::string>() + whole["output"][3]["arguments"].get<std::string>());
  EXPECT_EQ(last["output"][0]["content"], whole["output"][0]["content"]);
  EXPECT_EQ(last["output"][1]["content"], whole["output"][1]["content"]);
  EXPECT_EQ(last["usage"]["output_tokens"], whole["usage"]["output_tokens"]);
}

TEST_F(ResponsesTest, LogprobsOfTheMessageOnly) {
  Restart({.text = "<think>hm</think>Hi"});
  const std::string fields = R"(,"include":["message.output_text.logprobs"],"top_logprobs":2)";
  const Json response = Parsed(Respond(fields));
  const Json& logprobs = response["output"][1]["content"][0]["logprobs"];
  ASSERT_EQ(logprobs.size(), 3u) << WriteJson(response);  // H, i and the end
  EXPECT_EQ(logprobs[0]["token"], "H");
  EXPECT_EQ(logprobs[0]["top_logprobs"].size(), 2u);
  const auto events = Events(Respond(fields + R"(,"stream":true)"));
  EXPECT_EQ(events.back().data["response"]["output"][1]["content"][0]["logprobs"], logprobs);
}

TEST_F(ResponsesTest, LengthAndErrors) {
  const Json cut = Parsed(Respond(R"(,"max_output_tokens":2)"));
  EXPECT_EQ(cut["status"], "incomplete");
  EXPECT_EQ(cut["output"][0]["content"][0]["text"], "He");
  const std::string bad = Respond(R"(,"max_output_tokens":0)");
  EXPECT_EQ(StatusOf(bad), 400);
  EXPECT_EQ(Parsed(bad)["error"]["param"], "max_output_tokens");
  EXPECT_EQ(StatusOf(Respond(R"(,"model":"none")")), 404);
  const std::string long_input = Post("/v1/responses", absl::StrCat(R"({"input":")", std::string(5000, 'x'), "\"}"));
  EXPECT_EQ(Parsed(long_input)["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(Parsed(long_input)["error"]["param"], "input");
  EXPECT_EQ(StatusOf(Post("/v1/responses", absl::StrCat(R"({"truncation":"auto","input":")", std::string(5000, 'x'), "\"}"))), 200);
}

TEST_F(ResponsesTest, AFailedStreamSaysSo) {
  Restart({.fail_after = 2});
  const auto events = Events(Respond(R"(,"stream":true)"));
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().name, "response.failed");
  EXPECT_EQ(events.back().data["response"]["error"]["message"], "numerical_error");
  EXPECT_EQ(events.back().data["response"]["output"][0]["content"][0]["text"], "He");
  EXPECT_EQ(StatusOf(Respond("")), 500);
  Restart({.fail_after = 0});
  EXPECT_EQ(StatusOf(Respond(R"(,"stream":true)")), 500);
}

TEST_F(ResponsesTest, AnswersAnyBody) {
  ExpectAnswersToAnyBody("/v1/responses",
                         {R"({"input":"hi","instructions":"x","temperature":0.5,"max_output_tokens":3,"metadata":{"a":"b"}})",
                          absl::StrCat(R"({"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]}],"stream":true)", kTool, "}")},
                         150);
}

}  // namespace
}  // namespace braid
