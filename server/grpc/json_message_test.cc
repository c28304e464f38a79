#include "server/grpc/json_message.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/inference.pb.h"

namespace braid {
namespace {

using testing::HasSubstr;

// Members in any order.
nlohmann::json Plain(const Json& json) { return nlohmann::json::parse(json.dump()); }
nlohmann::json Plain(const char* text) { return nlohmann::json::parse(text); }

TEST(JsonMessage, ARequestIsTheHttpBody) {
  v1::ChatRequest request;
  request.set_model("m");
  auto* message = request.add_messages();
  message->set_role("user");
  message->set_content("hi");
  request.set_max_tokens(5);
  request.set_temperature(0);
  request.set_seed(std::numeric_limits<int64_t>::max());
  request.add_stop("x");
  (*request.mutable_logit_bias())["17"] = -2.5;
  (*request.mutable_chat_template_kwargs()->mutable_fields())["depth"].set_number_value(3);
  request.mutable_tool_choice()->set_string_value("auto");
  request.mutable_stream_options()->set_include_usage(true);
  const auto json = JsonOfMessage(request);
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(Plain(*json), Plain(R"({"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":5,"temperature":0.0,
      "seed":9223372036854775807,"stop":["x"],"logit_bias":{"17":-2.5},"chat_template_kwargs":{"depth":3},
      "tool_choice":"auto","stream_options":{"include_usage":true}})"));
}

TEST(JsonMessage, WhatIsAbsentStaysAbsent) {
  EXPECT_EQ(WriteJson(*JsonOfMessage(v1::ChatRequest())), "{}");
  v1::ChatRequest request;
  request.set_logprobs(false);
  request.set_top_k(0);
  EXPECT_EQ(Plain(*JsonOfMessage(request)), Plain(R"({"logprobs":false,"top_k":0})"));
}

TEST(JsonMessage, NumbersThatJsonCannotHoldAreRefusedByName) {
  v1::ChatRequest request;
  request.set_temperature(NAN);
  EXPECT_THAT(std::string(JsonOfMessage(request).status().message()), HasSubstr("temperature"));
  v1::ChatRequest deep;
  (*deep.mutable_response_format()->mutable_fields())["x"].set_number_value(INFINITY);
  EXPECT_FALSE(JsonOfMessage(deep).ok());
}

TEST(JsonMessage, AReplyIsReadFromTheHttpBody) {
  v1::ChatReply reply;
  const auto json = ParseJson(R"({"id":"a","created":1900000000,"unknown":{"x":[1]},"system_fingerprint":null,
      "choices":[{"index":1,"message":{"role":"assistant","content":"hi","refusal":null},"finish_reason":"stop",
      "stop_reason":42,"logprobs":{"content":[{"token":"h","logprob":-0.5,"bytes":[104],"top_logprobs":[]}]}}],
      "usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}})");
  ASSERT_TRUE(FillMessage(*json, &reply).ok());
  EXPECT_EQ(reply.created(), 1900000000);
  ASSERT_EQ(reply.choices_size(), 1);
  const auto& choice = reply.choices(0);
  EXPECT_EQ(choice.index(), 1);
  EXPECT_EQ(choice.message().content(), "hi");
  EXPECT_EQ(choice.stop_reason().number_value(), 42);
  EXPECT_EQ(choice.logprobs().content(0).bytes(0), 104u);
  EXPECT_EQ(reply.usage().prompt_tokens_details().cached_tokens(), 2);
  EXPECT_FALSE(reply.has_system_fingerprint());
}

TEST(JsonMessage, NullsInListsKeepTheirPlace) {
  v1::CompletionLogprobs logprobs;
  ASSERT_TRUE(FillMessage(*ParseJson(R"({"tokens":["a","b"],"token_logprobs":[null,-1.5],
      "top_logprobs":[null,{"b":-1.5}],"text_offset":[0,1]})"), &logprobs).ok());
  ASSERT_EQ(logprobs.token_logprobs_size(), 2);
  EXPECT_TRUE(std::isnan(logprobs.token_logprobs(0)));
  EXPECT_EQ(logprobs.top_logprobs(0).fields_size(), 0);
  EXPECT_EQ(logprobs.top_logprobs(1).fields().at("b").number_value(), -1.5);
}

TEST(JsonMessage, AMisfitIsNamed) {
  v1::ChatReply reply;
  for (const char* text : {R"({"created":"x"})", R"({"created":1.5})", R"({"choices":{}})", R"({"choices":[1]})", "[]"}) {
    EXPECT_FALSE(FillMessage(*ParseJson(text), &reply).ok()) << text;
  }
}

}  // namespace
}  // namespace braid
