#include "server/openai/test_front.h"

namespace braid {
namespace {

class MessagesTest : public FrontTest {
 protected:
  std::string Say(std::string_view fields) {
    return Post("/v1/messages", std::string(R"({"max_tokens":900,"messages":[{"role":"user","content":"hi"}])").append(fields).append("}"));
  }
  static std::string ErrorType(const std::string& response) {
    const Json body = Parsed(response);
    EXPECT_EQ(body["type"], "error") << response;
    return body["error"]["type"];
  }
};

const char kTool[] = R"(,"tools":[{"name":"add","input_schema":{"type":"object","properties":{"a":{"type":"integer"}}}}])";

TEST_F(MessagesTest, WholeReply) {
  const std::string reply = Say(R"(,"model":"tiny","system":"Be brief.")");
  ASSERT_EQ(StatusOf(reply), 200) << reply;
  const Json message = Parsed(reply);
  EXPECT_EQ(message["type"], "message");
  EXPECT_EQ(message["model"], "tiny");
  EXPECT_EQ(message["content"], *ParseJson(R"([{"type":"text","text":"Hello","citations":null}])"));
  EXPECT_EQ(message["stop_reason"], "end_turn");
  EXPECT_EQ(message["usage"]["output_tokens"], 6);
  EXPECT_EQ(message["usage"]["input_tokens"], 10 + 9 + 1 + 5 - 1);  // "<|system|>" is text to this tokenizer
  EXPECT_EQ(message["usage"]["cache_read_input_tokens"], 1);
}

TEST_F(MessagesTest, ThinkingTextAndToolUse) {
  Restart({.text = kRichAnswer});
  const Json message = Parsed(Say(kTool));
  const Json& content = message["content"];
  ASSERT_EQ(content.size(), 4u) << WriteJson(message);
  EXPECT_EQ(content[0]["thinking"], "hm");
  EXPECT_FALSE(content[0]["signature"].get<std::string>().empty());
  EXPECT_EQ(content[1]["text"], "Well");
  EXPECT_EQ(content[2]["input"], (Json{{"a", 1}}));
  EXPECT_EQ(content[3]["input"], (Json{{"a", 2}}));
  EXPECT_EQ(message["stop_reason"], "tool_use");
  const Json one = Parsed(Say(std::string(kTool) + R"(,"tool_choice":{"type":"tool","name":"add","disable_parallel_tool_use":true})"));
  EXPECT_EQ(one["stop_reason"], "tool_use");
}

TEST_F(MessagesTest, StreamEqualsWhole) {
  Restart({.text = kRichAnswer});
  const auto events = Events(Say(std::string(kTool) + R"(,"stream":true)"));
  EXPECT_EQ(Order(events), (std::vector<std::string>{
      "message_start", "ping", "content_block_start", "content_block_delta", "content_block_stop", "content_block_start",
      "content_block_delta", "content_block_stop", "content_block_start", "content_block_delta", "content_block_stop",
      "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}));
  std::string thinking, text, inputs[4];
  for (const Event& event : events) {
    if (event.name != "content_block_delta") continue;
    const Json& delta = event.data["delta"];
    if (delta["type"] == "thinking_delta") thinking += delta["thinking"];
    if (delta["type"] == "text_delta") text += delta["text"];
    if (delta["type"] == "input_json_delta") inputs[event.data["index"].get<int>()] += delta["partial_json"];
  }
  EXPECT_EQ(thinking, "hm");
  EXPECT_EQ(text, "Well");
  EXPECT_EQ(*ParseJson(inputs[2]), (Json{{"a", 1}}));
  EXPECT_EQ(*ParseJson(inputs[3]), (Json{{"a", 2}}));
  const Json& end = events[events.size() - 2].data;
  EXPECT_EQ(end["delta"]["stop_reason"], "tool_use");
  EXPECT_EQ(end["usage"], Parsed(Say(kTool))["usage"]);
}

TEST_F(MessagesTest, StopSequencesAreNamed) {
  const Json message = Parsed(Say(R"(,"stop_sequences":["xx","ll"])"));
  EXPECT_EQ(message["content"][0]["text"], "He");
  EXPECT_EQ(message["stop_reason"], "stop_sequence");
  EXPECT_EQ(message["stop_sequence"], "ll");
}

TEST_F(MessagesTest, LengthEndsAtMaxTokens) {
  const Json message = Parsed(Post("/v1/messages", R"({"max_tokens":2,"messages":[{"role":"user","content":"hi"}]})"));
  EXPECT_EQ(message["content"][0]["text"], "He");
  EXPECT_EQ(message["stop_reason"], "max_tokens");
}

TEST_F(MessagesTest, GoesOnWithTheAssistantsMessage) {
  const std::string reply = Post("/v1/messages", R"({"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})");
  EXPECT_EQ(StatusOf(reply), 200) << reply;
  EXPECT_EQ(source_->requests().back().prompt, (std::vector<int32_t>{257, 'a', 256, 258, 'b'}));
}

TEST_F(MessagesTest, CountsTokens) {
  const std::string reply = Post("/v1/messages/count_tokens", R"({"model":"tiny","messages":[{"role":"user","content":"hi"}]})");
  EXPECT_EQ(BodyOf(reply), R"({"input_tokens":5})");
  EXPECT_EQ(ErrorType(Post("/v1/messages/count_tokens", "{}")), "invalid_request_error");
}

TEST_F(MessagesTest, ErrorsAreInTheApisWords) {
  EXPECT_EQ(ErrorType(Say(R"(,"temperature":2)")), "invalid_request_error");
  const std::string unknown = Say(R"(,"model":"none")");
  EXPECT_EQ(StatusOf(unknown), 404);
  EXPECT_EQ(ErrorType(unknown), "not_found_error");
  EXPECT_EQ(ErrorType(Post("/v1/messages", "{")), "invalid_request_error");
  Restart({.refuse = absl::UnavailableError("the queue is full")});
  const std::string full = Say(R"(,"stream":true)");
  EXPECT_EQ(StatusOf(full), 503);
  EXPECT_EQ(ErrorType(full), "overloaded_error");
  Restart({.fail_after = 0});
  EXPECT_EQ(ErrorType(Say("")), "api_error");
}

TEST_F(MessagesTest, TheDoorsErrorsAreToo) {
  HttpConfig http;
  http.api_keys = {HashKey("secret")};
  http.limits.max_body_bytes = 1000;
  Restart({}, std::move(http));
  const std::string body = R"({"max_tokens":9,"messages":[{"role":"user","content":"hi"}]})";
  EXPECT_EQ(ErrorType(Post("/v1/messages", body)), "authentication_error");
  EXPECT_EQ(StatusOf(Ask("POST", "/v1/messages", body, "x-api-key: secret\r\n")), 200);
  EXPECT_EQ(StatusOf(Ask("POST", "/v1/messages", body, "Authorization: Bearer secret\r\n")), 200);
  const std::string big = Ask("POST", "/v1/messages", std::string(2000, ' '), "x-api-key: secret\r\n");
  EXPECT_EQ(StatusOf(big), 413);
  EXPECT_EQ(ErrorType(big), "request_too_large");
}

TEST_F(MessagesTest, AFailedStreamSaysSo) {
  Restart({.fail_after = 2});
  const auto events = Events(Say(R"(,"stream":true)"));
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().name, "error");
  EXPECT_EQ(events.back().data["error"]["type"], "api_error");
}

TEST_F(MessagesTest, AnswersAnyBody) {
  const std::string messages = R"("messages":[{"role":"user","content":[{"type":"text","text":"a"}]}])";
  ExpectAnswersToAnyBody("/v1/messages",
                         {absl::StrCat(R"({"max_tokens":9,"system":"s","temperature":0.5,"stop_sequences":["x"],)", messages, "}"),
                          absl::StrCat(R"({"max_tokens":9,"stream":true,)", messages, kTool, "}")},
                         150);
}

}  // namespace
}  // namespace braid
