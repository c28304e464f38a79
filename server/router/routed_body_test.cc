#include "server/router/routed_body.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace braid {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr const char* kChat = "/v1/chat/completions";
constexpr const char* kComplete = "/v1/completions";

Json Parsed(const std::string& text) {
  auto json = ParseJson(text, {});
  EXPECT_TRUE(json.ok()) << text;
  return json.ok() ? *json : Json();
}

TEST(RoutedBody, WhatDoesNotStreamIsPassedOnAsItIs) {
  for (const char* body : {R"({ "messages":[] })", "no json", "[1]", R"({"messages":[],"stream":true,"n":2})",
                           R"({"messages":[],"stream":true,"echo":true})"}) {
    RoutedBody routed(kChat, body);
    EXPECT_FALSE(routed.can_resume()) << body;
    EXPECT_EQ(routed.ForWorker(false), body);
  }
  EXPECT_FALSE(RoutedBody("/v1/responses", R"({"input":"a","stream":true})").can_resume());
  EXPECT_FALSE(RoutedBody(kComplete, R"({"prompt":["a","b"],"stream":true})").can_resume());
  EXPECT_TRUE(RoutedBody(kComplete, R"({"prompt":[1,2],"stream":true})").can_resume());
}

TEST(RoutedBody, AStreamGoesOnFromTheIdsThatWereTold) {
  RoutedBody routed(kComplete, R"({"prompt":"a","stream":true})");
  const Json first = Parsed(routed.ForWorker(false));
  EXPECT_EQ(first["return_token_ids"], true);
  EXPECT_TRUE(first["seed"].is_number_integer());
  EXPECT_FALSE(first.contains("resume_token_ids"));
  const Json shown = Parsed(routed.Take(R"({"choices":[{"index":0,"text":"x","token_ids":[5,6],"prompt_token_ids":[1],"finish_reason":null}]})"));
  EXPECT_FALSE(shown["choices"][0].contains("token_ids"));
  EXPECT_FALSE(shown["choices"][0].contains("prompt_token_ids"));
  EXPECT_EQ(shown["choices"][0]["text"], "x");
  EXPECT_THAT(routed.ids(), ElementsAre(5, 6));
  const Json again = Parsed(routed.ForWorker(true));
  EXPECT_EQ(again["resume_token_ids"], Json::parse("[5,6]"));
  EXPECT_EQ(again["seed"], first["seed"]);
  EXPECT_FALSE(routed.finished());
  routed.Take(R"({"choices":[{"index":0,"text":"y","token_ids":[7],"finish_reason":"stop"}]})");
  EXPECT_TRUE(routed.finished());
}

TEST(RoutedBody, EventsOfIdsAloneAreNotShown) {
  RoutedBody routed(kChat, R"({"messages":[],"stream":true,"seed":4})");
  EXPECT_EQ(Parsed(routed.ForWorker(false))["seed"], 4);
  EXPECT_EQ(routed.Take(R"({"choices":[{"index":0,"delta":{},"token_ids":[5],"finish_reason":null}]})"), "");
  EXPECT_NE(routed.Take(R"({"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]})"), "");
  EXPECT_NE(routed.Take(R"({"choices":[{"index":0,"delta":{},"token_ids":[],"finish_reason":"stop"}]})"), "");
  EXPECT_NE(routed.Take(R"({"choices":[],"usage":{}})"), "");
  EXPECT_EQ(routed.Take("[DONE]"), "[DONE]");
  EXPECT_EQ(routed.Take("no json"), "no json");
  EXPECT_THAT(routed.ids(), ElementsAre(5));
}

TEST(RoutedBody, WhoAskedForIdsSeesThem) {
  RoutedBody routed(kChat, R"({"messages":[],"stream":true,"return_token_ids":true})");
  const std::string event = R"({"choices":[{"index":0,"delta":{},"token_ids":[5],"finish_reason":null}]})";
  EXPECT_EQ(Parsed(routed.Take(event)), Parsed(event));
  EXPECT_THAT(routed.ids(), ElementsAre(5));
}

TEST(RoutedBody, HostileEventsDoNoHarm) {
  RoutedBody routed(kChat, R"({"messages":[],"stream":true})");
  for (const char* event : {"{}", "[]", R"({"choices":7})", R"({"choices":[]})", R"({"choices":[3]})", R"({"choices":[{"token_ids":"x"}]})",
                            R"({"choices":[{"token_ids":["a",1e300]}]})", R"({"choices":[{"delta":3,"token_ids":[1]}]})"}) {
    routed.Take(event);
  }
  EXPECT_THAT(routed.ids(), ElementsAre(1));
}

TEST(RoutedBody, TellsErrorsOfWorkersFromThoseOfRequests) {
  bool of_worker = false;
  EXPECT_TRUE(RoutedBody::IsError(R"({"error":{"message":"x","code":503}})", &of_worker));
  EXPECT_TRUE(of_worker);
  EXPECT_TRUE(RoutedBody::IsError(R"({"error":{"message":"x","code":400}})", &of_worker));
  EXPECT_FALSE(of_worker);
  EXPECT_FALSE(RoutedBody::IsError(R"({"choices":[{"text":"\"error\""}]})", &of_worker));
}

TEST(RoutedBody, ConversationsBeginAlike) {
  const RoutedBody first(kChat, R"({"messages":[{"role":"user","content":"hello"}]})");
  const RoutedBody second(kChat, R"({"messages":[{"role":"user","content":"hello"},{"role":"assistant","content":"x"}],"stream":true})");
  EXPECT_EQ(second.prompt().substr(0, first.prompt().size() - 1), first.prompt().substr(0, first.prompt().size() - 1));
  EXPECT_THAT(RoutedBody(kChat, "x").prompt(), IsEmpty());
}

}  // namespace
}  // namespace braid
