#include "server/anthropic/messages_writer.h"

#include <gtest/gtest.h>

#include "kernels/base/json.h"

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

const Usage kUsage{.prompt_tokens = 5, .completion_tokens = 4, .cached_tokens = 2, .reasoning_tokens = 1};

Json Whole(const ChoicePart& part) {
  MessagesWriter writer({.id = "7", .model = "tiny"});
  auto json = ParseJson(writer.Whole(std::span(&part, 1), kUsage));
  EXPECT_TRUE(json.ok()) << json.status();
  return json.ok() ? *json : Json();
}

TEST(MessagesWriter, WholeMessage) {
  const Json message = Whole({.text = "Hi",
                              .reasoning = "hm",
                              .tool_calls = {{.index = 0, .id = "c0", .name = "f", .arguments = "{\"a\":1}"}},
                              .finish = FinishReason::kStop});
  EXPECT_EQ(message, *ParseJson(R"({"id":"msg_7","type":"message","role":"assistant","model":"tiny","content":[
      {"type":"thinking","thinking":"hm","signature":"msg_7"},{"type":"text","text":"Hi","citations":null},
      {"type":"tool_use","id":"c0","name":"f","input":{"a":1}}],"stop_reason":"tool_use","stop_sequence":null,
      "usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":2,"output_tokens":4,
      "output_tokens_details":{"thinking_tokens":1}}})"));
}

TEST(MessagesWriter, StopReasons) {
  EXPECT_EQ(Whole({.text = "x", .finish = FinishReason::kStop})["stop_reason"], "end_turn");
  EXPECT_EQ(Whole({.text = "x", .finish = FinishReason::kLength})["stop_reason"], "max_tokens");
  const Json stopped = Whole({.text = "x", .finish = FinishReason::kStop, .stop_reason = "\"END\""});
  EXPECT_EQ(stopped["stop_reason"], "stop_sequence");
  EXPECT_EQ(stopped["stop_sequence"], "END");
  EXPECT_EQ(Whole({.text = "x", .finish = FinishReason::kStop, .stop_reason = "17"})["stop_reason"], "end_turn");
}

TEST(MessagesWriter, ContentIsNeverEmpty) {
  const Json message = Whole({.finish = FinishReason::kStop});
  ASSERT_EQ(message["content"].size(), 1u);
  EXPECT_EQ(message["content"][0]["text"], "");
}

TEST(MessagesWriter, AnInputThatWasCutOffIsEmpty) {
  const Json message = Whole({.tool_calls = {{.index = 0, .id = "c", .name = "f", .arguments = "{\"a\":"}}, .finish = FinishReason::kLength});
  EXPECT_EQ(message["content"][0]["input"], Json::object());
  EXPECT_EQ(message["stop_reason"], "max_tokens");
}

TEST(MessagesWriter, StreamOfEvents) {
  Heard heard;
  MessagesWriter writer({.id = "7", .model = "tiny"});
  writer.Begin(kUsage, heard.emit);
  writer.Part({.reasoning = "hm"}, kUsage, heard.emit);
  writer.Part({.text = "H"}, kUsage, heard.emit);
  writer.Part({.text = "i"}, kUsage, heard.emit);
  writer.Part({.tool_calls = {{.index = 0, .id = "c0", .name = "f", .arguments = "{"}}}, kUsage, heard.emit);
  writer.Part({.tool_calls = {{.index = 0, .arguments = "}"}, {.index = 1, .id = "c1", .name = "g"}}}, kUsage, heard.emit);
  writer.Part({.finish = FinishReason::kStop}, kUsage, heard.emit);
  writer.End(kUsage, heard.emit);
  EXPECT_EQ(heard.names, (std::vector<std::string>{
      "message_start", "ping",
      "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
      "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
      "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
      "content_block_start", "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_EQ(heard.events[0]["message"]["content"], Json::array());
  EXPECT_EQ(heard.events[0]["message"]["usage"]["input_tokens"], 3);
  EXPECT_TRUE(heard.events[0]["message"]["stop_reason"].is_null());
  EXPECT_EQ(heard.events[3]["delta"], *ParseJson(R"({"type":"thinking_delta","thinking":"hm"})"));
  EXPECT_EQ(heard.events[4]["delta"], *ParseJson(R"({"type":"signature_delta","signature":"msg_7"})"));
  EXPECT_EQ(heard.events[7]["index"], 1);
  EXPECT_EQ(heard.events[7]["delta"], *ParseJson(R"({"type":"text_delta","text":"H"})"));
  EXPECT_EQ(heard.events[10]["content_block"], *ParseJson(R"({"type":"tool_use","id":"c0","name":"f","input":{}})"));
  EXPECT_EQ(heard.events[12]["delta"], *ParseJson(R"({"type":"input_json_delta","partial_json":"}"})"));
  EXPECT_EQ(heard.events[16]["delta"], *ParseJson(R"({"stop_reason":"tool_use","stop_sequence":null})"));
  EXPECT_EQ(heard.events[16]["usage"]["output_tokens"], 4);
}

TEST(MessagesWriter, FailuresAreAnErrorEvent) {
  Heard heard;
  MessagesWriter writer({.id = "7", .model = "tiny"});
  EXPECT_TRUE(writer.Fail(absl::UnavailableError("going"), kUsage, heard.emit));
  EXPECT_EQ(heard.names, std::vector<std::string>{"error"});
  EXPECT_EQ(heard.events[0], *ParseJson(R"({"type":"error","error":{"type":"overloaded_error","message":"going"}})"));
}

}  // namespace
}  // namespace braid
