#include "server/openai/responses_writer.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

struct Heard {
  std::vector<std::string> names;
  std::vector<Json> events;
  ReplyWriter::Emit emit = [this](std::string_view name, std::string_view json) {
    names.emplace_back(name);
    auto parsed = ParseJson(json);
    EXPECT_TRUE(parsed.ok()) << json;
    events.push_back(parsed.ok() ? *parsed : Json());
  };
};

ResponsesWriter Writer() {
  return ResponsesWriter({.id = "7", .model = "tiny", .created_unix_s = 3, .echo = Json{{"tools", Json::array()}, {"user", nullptr}}});
}
const Usage kUsage{.prompt_tokens = 5, .completion_tokens = 4, .cached_tokens = 2, .reasoning_tokens = 1};

ChoicePart Rich() {
  return {.text = "Hi",
          .reasoning = "hm",
          .tool_calls = {{.index = 0, .id = "c0", .name = "f", .arguments = "{}"}, {.index = 1, .id = "c1", .name = "g", .arguments = "{\"a\":1}"}},
          .logprobs = R"({"token":"H"})",
          .finish = FinishReason::kStop,
          .ends_in_calls = true};
}

TEST(ResponsesWriter, WholeResponse) {
  const ChoicePart part = Rich();
  const auto parsed = ParseJson(Writer().Whole(std::span(&part, 1), kUsage));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  const Json& response = *parsed;
  EXPECT_EQ(response["id"], "resp_7");
  EXPECT_EQ(response["object"], "response");
  EXPECT_EQ(response["created_at"], 3);
  EXPECT_EQ(response["status"], "completed");
  EXPECT_TRUE(response["error"].is_null());
  EXPECT_TRUE(response["incomplete_details"].is_null());
  EXPECT_EQ(response["tools"], Json::array());
  EXPECT_TRUE(response["user"].is_null());
  const Json& output = response["output"];
  ASSERT_EQ(output.size(), 4u);
  EXPECT_EQ(output[0], *ParseJson(R"({"id":"rs_7_0","type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"hm"}],"status":"completed"})"));
  EXPECT_EQ(output[1], *ParseJson(R"({"id":"msg_7_1","type":"message","role":"assistant",
      "content":[{"type":"output_text","text":"Hi","annotations":[],"logprobs":[{"token":"H"}]}],"status":"completed"})"));
  EXPECT_EQ(output[3], *ParseJson(R"({"id":"fc_7_3","type":"function_call","call_id":"c1","name":"g","arguments":"{\"a\":1}","status":"completed"})"));
  EXPECT_EQ(response["usage"], *ParseJson(R"({"input_tokens":5,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":0},
      "output_tokens":4,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":9})"));
}

TEST(ResponsesWriter, StreamTellsTheSameItems) {
  Heard heard;
  ResponsesWriter writer = Writer();
  writer.Begin(kUsage, heard.emit);
  writer.Part({.reasoning = "h"}, kUsage, heard.emit);
  writer.Part({.reasoning = "m"}, kUsage, heard.emit);
  writer.Part({.text = "H", .logprobs = R"({"token":"H"})"}, kUsage, heard.emit);
  writer.Part({.text = "i"}, kUsage, heard.emit);
  writer.Part({.tool_calls = {{.index = 0, .id = "c0", .name = "f", .arguments = "{"}}}, kUsage, heard.emit);
  writer.Part({.tool_calls = {{.index = 0, .arguments = "}"}, {.index = 1, .id = "c1", .name = "g", .arguments = "{\"a\":1}"}}}, kUsage, heard.emit);
  writer.Part({.finish = FinishReason::kStop}, kUsage, heard.emit);
  writer.End(kUsage, heard.emit);
  EXPECT_EQ(heard.names, (std::vector<std::string>{
      "response.created", "response.in_progress",
      "response.output_item.added", "response.reasoning_text.delta", "response.reasoning_text.delta", "response.reasoning_text.done",
      "response.output_item.done",
      "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.delta",
      "response.output_text.done", "response.content_part.done", "response.output_item.done",
      "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.delta",
      "response.function_call_arguments.done", "response.output_item.done",
      "response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done",
      "response.output_item.done", "response.completed"}));
  const ChoicePart part = Rich();
  const Json whole = *ParseJson(Writer().Whole(std::span(&part, 1), kUsage));
  EXPECT_EQ(heard.events.back()["response"], whole);
  for (size_t i = 0; i < heard.events.size(); ++i) EXPECT_EQ(heard.events[i]["sequence_number"], i);
  EXPECT_EQ(heard.events[0]["response"]["status"], "in_progress");
  EXPECT_TRUE(heard.events[0]["response"]["usage"].is_null());
  EXPECT_EQ(heard.events[9]["delta"], "H");
  EXPECT_EQ(heard.events[9]["output_index"], 1);
  EXPECT_EQ(heard.events[9]["content_index"], 0);
  EXPECT_EQ(heard.events[9]["item_id"], "msg_7_1");
  EXPECT_EQ(heard.events[9]["logprobs"], *ParseJson(R"([{"token":"H"}])"));
  EXPECT_EQ(heard.events[11]["text"], "Hi");
  EXPECT_EQ(heard.events[14]["item"]["arguments"], "");
  EXPECT_EQ(heard.events[14]["item"]["status"], "in_progress");
  EXPECT_EQ(heard.events[17]["arguments"], "{}");
  EXPECT_FALSE(heard.events[17].contains("content_index"));
}

TEST(ResponsesWriter, CutAnswersAreIncomplete) {
  Heard heard;
  ResponsesWriter writer = Writer();
  writer.Begin(kUsage, heard.emit);
  writer.Part({.text = "H"}, kUsage, heard.emit);
  writer.Part({.finish = FinishReason::kLength}, kUsage, heard.emit);
  writer.End(kUsage, heard.emit);
  EXPECT_EQ(heard.names.back(), "response.incomplete");
  const Json& response = heard.events.back()["response"];
  EXPECT_EQ(response["status"], "incomplete");
  EXPECT_EQ(response["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
}

TEST(ResponsesWriter, AnEmptyAnswerIsAnEmptyMessage) {
  const ChoicePart part{.finish = FinishReason::kStop};
  const Json response = *ParseJson(Writer().Whole(std::span(&part, 1), kUsage));
  ASSERT_EQ(response["output"].size(), 1u);
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "");
}

TEST(ResponsesWriter, FailuresHoldWhatThereIs) {
  Heard heard;
  ResponsesWriter writer = Writer();
  writer.Begin(kUsage, heard.emit);
  writer.Part({.text = "H"}, kUsage, heard.emit);
  EXPECT_TRUE(writer.Fail(absl::InternalError("broken"), kUsage, heard.emit));
  EXPECT_EQ(heard.names.back(), "response.failed");
  const Json& response = heard.events.back()["response"];
  EXPECT_EQ(response["status"], "failed");
  EXPECT_EQ(response["error"], *ParseJson(R"({"code":"server_error","message":"broken"})"));
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "H");
  EXPECT_EQ(response["output"][0]["status"], "incomplete");
}

}  // namespace
}  // namespace braid
