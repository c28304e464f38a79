#include <chrono>

#include "server/openai/test_front.h"

namespace braid {
namespace {

class StoredResponsesTest : public FrontTest {
 protected:
  Json Respond(std::string_view fields) { return Parsed(Post("/v1/responses", absl::StrCat(R"({"input":"hi")", fields.data(), "}"))); }
  std::string Get(const std::string& id, const std::string& below = "") { return Ask("GET", absl::StrCat("/v1/responses/", id, below), ""); }
  std::string Delete(const std::string& id) { return Ask("DELETE", absl::StrCat("/v1/responses/", id), ""); }
  static std::string IdOf(const Json& response) { return response["id"]; }

  Json WaitFor(const std::string& id, const std::string& status) {
    Json response;
    for (int i = 0; i < 2000; ++i) {
      response = Parsed(Get(id));
      if (response["status"] == status) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(response["status"], status) << WriteJson(response);
    return response;
  }
};

TEST_F(StoredResponsesTest, FetchedAsTheyWereAnswered) {
  const Json response = Respond(R"(,"metadata":{"k":"v"})");
  EXPECT_EQ(response["store"], true);
  const std::string fetched = Get(IdOf(response));
  EXPECT_EQ(StatusOf(fetched), 200);
  EXPECT_EQ(Parsed(fetched), response);
  EXPECT_EQ(IdOf(response).size(), std::string("resp_").size() + 48);
}

TEST_F(StoredResponsesTest, OfAStreamTheLastEventIsKept) {
  const auto events = Events(Post("/v1/responses", R"({"input":"hi","stream":true})"));
  const Json& last = events.back().data["response"];
  EXPECT_EQ(Parsed(Get(IdOf(last))), last);
  Restart({.fail_after = 2});
  const auto failed = Events(Post("/v1/responses", R"({"input":"hi","stream":true})"));
  const std::string id = IdOf(failed.back().data["response"]);
  EXPECT_EQ(Parsed(Get(id))["status"], "failed");
  EXPECT_EQ(Respond(absl::StrCat(R"(,"previous_response_id":")", id, "\""))["error"]["param"], "previous_response_id");
}

TEST_F(StoredResponsesTest, AChainIsTheConversation) {
  const Json first = Respond(R"(,"instructions":"Be brief.")");
  const Json second = Respond(absl::StrCat(R"(,"previous_response_id":")", IdOf(first), "\""));
  EXPECT_EQ(second["previous_response_id"], first["id"]);
  const std::string third_body = absl::StrCat(
      R"({"input":[{"role":"user","content":"And?"}],"instructions":"Be kind.","previous_response_id":")", IdOf(second), "\"}");
  ASSERT_EQ(StatusOf(Post("/v1/responses", third_body)), 200);
  const auto prompt = source_->requests().back().prompt;
  std::string text;
  for (const int32_t id : prompt) text += id < 256 ? std::string(1, static_cast<char>(id)) : absl::StrCat("[", id, "]");
  EXPECT_EQ(text, "<|system|>Be kind.[256][257]hi[256][258]Hello[256][257]hi[256][258]Hello[256][257]And?[256][258]");
}

TEST_F(StoredResponsesTest, ReasoningAndCallsGoOnToo) {
  Restart({.text = kRichAnswer});
  const std::string tools = R"(,"tools":[{"type":"function","name":"add","parameters":{"type":"object"}}])";
  const Json first = Respond(tools);
  const std::string call_id = first["output"][2]["call_id"];
  const Json second = Parsed(Post("/v1/responses", absl::StrCat(R"({"input":[{"type":"function_call_output","call_id":")", call_id,
      R"(","output":"3"}],"previous_response_id":")", IdOf(first), "\"", tools, "}")));
  ASSERT_EQ(second["status"], "completed") << WriteJson(second);
  const Json items = Parsed(Get(IdOf(second), "/input_items?order=asc"))["data"];
  std::vector<std::string> types;
  for (const Json& item : items) types.push_back(item["type"]);
  EXPECT_EQ(types, (std::vector<std::string>{"message", "reasoning", "message", "function_call", "function_call", "function_call_output"}));
  EXPECT_EQ(items[5]["id"].get<std::string>().substr(0, 4), "fco_");
}

TEST_F(StoredResponsesTest, InputItemsComeInPages) {
  const Json response = Parsed(Post("/v1/responses", R"({"input":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},
      {"role":"user","content":[{"type":"input_text","text":"c"}],"id":"msg_mine"}]})"));
  const std::string id = IdOf(response);
  const Json all = Parsed(Get(id, "/input_items"));
  ASSERT_EQ(all["data"].size(), 3u);
  EXPECT_EQ(all["object"], "list");
  EXPECT_EQ(all["has_more"], false);
  EXPECT_EQ(all["data"][0]["id"], "msg_mine");
  EXPECT_EQ(all["first_id"], "msg_mine");
  EXPECT_EQ(all["last_id"], all["data"][2]["id"]);
  EXPECT_EQ(all["data"][1]["content"], *ParseJson(R"([{"type":"output_text","text":"b","annotations":[]}])"));
  EXPECT_EQ(all["data"][2]["content"], *ParseJson(R"([{"type":"input_text","text":"a"}])"));
  const Json page = Parsed(Get(id, "/input_items?limit=1&order=asc"));
  EXPECT_EQ(page["has_more"], true);
  EXPECT_EQ(page["data"], Json::array({all["data"][2]}));
  const Json next = Parsed(Get(id, absl::StrCat("/input_items?limit=2&order=asc&after=", page["last_id"].get<std::string>())));
  EXPECT_EQ(next["has_more"], false);
  EXPECT_EQ(next["data"], Json::array({all["data"][1], all["data"][0]}));
  const Json end = Parsed(Get(id, "/input_items?order=asc&after=msg%5Fmine"));
  EXPECT_EQ(end["data"], Json::array());
  EXPECT_TRUE(end["last_id"].is_null());
}

TEST_F(StoredResponsesTest, QueriesAreChecked) {
  const std::string id = IdOf(Respond(""));
  const std::pair<const char*, const char*> cases[] = {
      {"?stream=true", "stream"}, {"?starting_after=3", "starting_after"}, {"/input_items?limit=0", "limit"},
      {"/input_items?limit=101", "limit"}, {"/input_items?limit=x", "limit"}, {"/input_items?order=up", "order"},
      {"/input_items?after=nobody", "after"}};
  for (const auto& [below, param] : cases) {
    const std::string reply = Get(id, below);
    EXPECT_EQ(StatusOf(reply), 400) << below;
    EXPECT_EQ(Parsed(reply)["error"]["param"], param);
  }
  EXPECT_EQ(StatusOf(Get(id, "?stream=false&include%5B%5D=x")), 200);
}

TEST_F(StoredResponsesTest, DeletedOnesAreUnknown) {
  const std::string id = IdOf(Respond(""));
  const std::string reply = Delete(id);
  EXPECT_EQ(StatusOf(reply), 200);
  EXPECT_EQ(Parsed(reply), (Json{{"id", id}, {"object", "response"}, {"deleted", true}}));
  for (const std::string& again : {Delete(id), Get(id), Get(id, "/input_items"), Post(absl::StrCat("/v1/responses/", id, "/cancel"), "")}) {
    EXPECT_EQ(StatusOf(again), 404);
  }
  const Json error = Respond(absl::StrCat(R"(,"previous_response_id":")", id, "\""))["error"];
  EXPECT_EQ(error["code"], "previous_response_not_found");
  EXPECT_EQ(error["param"], "previous_response_id");
}

TEST_F(StoredResponsesTest, StoreFalseKeepsNothing) {
  const Json response = Respond(R"(,"store":false)");
  EXPECT_EQ(response["store"], false);
  EXPECT_EQ(StatusOf(Get(IdOf(response))), 404);
}

TEST_F(StoredResponsesTest, OtherPlacesAndMethodsAreNamed) {
  const std::string id = IdOf(Respond(""));
  EXPECT_EQ(StatusOf(Get(id, "/other")), 404);
  EXPECT_EQ(StatusOf(Get(id, "/cancel")), 405);
  EXPECT_EQ(StatusOf(Post(absl::StrCat("/v1/responses/", id), "{}")), 405);
  EXPECT_EQ(StatusOf(Post(absl::StrCat("/v1/responses/", id, "/input_items"), "{}")), 405);
  const std::string cancel = Post(absl::StrCat("/v1/responses/", id, "/cancel"), "");
  EXPECT_EQ(StatusOf(cancel), 400) << "it did not run in the background";
}

TEST_F(StoredResponsesTest, InTheBackgroundNobodyWaits) {
  const Json queued = Respond(R"(,"background":true)");
  EXPECT_EQ(queued["status"], "queued");
  EXPECT_EQ(queued["background"], true);
  EXPECT_EQ(queued["output"], Json::array());
  const Json response = WaitFor(IdOf(queued), "completed");
  EXPECT_EQ(response["output"][0]["content"][0]["text"], "Hello");
  EXPECT_EQ(response["usage"]["output_tokens"], 6);
  EXPECT_EQ(response["created_at"], queued["created_at"]);
  const std::string next = absl::StrCat(R"(,"background":true,"max_output_tokens":2,"previous_response_id":")", IdOf(queued), "\"");
  EXPECT_EQ(WaitFor(IdOf(Respond(next)), "incomplete")["output"][0]["content"][0]["text"], "He");
}

TEST_F(StoredResponsesTest, InTheBackgroundFailuresAreKept) {
  for (const int fail_after : {0, 2}) {
    Restart({.fail_after = fail_after});
    const Json failed = WaitFor(IdOf(Respond(R"(,"background":true)")), "failed");
    EXPECT_EQ(failed["error"]["message"], "numerical_error");
  }
  Restart({.refuse = absl::UnavailableError("the queue is full")});
  EXPECT_EQ(StatusOf(Post("/v1/responses", R"({"input":"hi","background":true})")), 503);
  EXPECT_EQ(serving_->responses().Stats().responses, 0);
}

TEST_F(StoredResponsesTest, InTheBackgroundUntilCancelledOrDeleted) {
  Restart({.hold = true});
  const std::string first = IdOf(Respond(R"(,"background":true)")), second = IdOf(Respond(R"(,"background":true)"));
  EXPECT_EQ(serving_->InFlight(), 2);
  const Json busy = Respond(absl::StrCat(R"(,"previous_response_id":")", first, "\""))["error"];
  EXPECT_NE(busy["message"].get<std::string>().find("queued"), std::string::npos);
  EXPECT_EQ(Parsed(Post(absl::StrCat("/v1/responses/", first, "/cancel"), ""))["status"], "cancelled");
  EXPECT_EQ(Parsed(Post(absl::StrCat("/v1/responses/", first, "/cancel"), ""))["status"], "cancelled");
  EXPECT_EQ(Parsed(Get(first))["status"], "cancelled");
  EXPECT_EQ(StatusOf(Delete(second)), 200);
  EXPECT_EQ(StatusOf(Get(second)), 404);
  EXPECT_EQ(source_->cancelled(), 2u);
  EXPECT_EQ(serving_->InFlight(), 0);
}

TEST_F(StoredResponsesTest, WhatTheBackgroundDoesNotTakeIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"(,"background":true,"stream":true)", "stream"}, {R"(,"background":true,"store":false)", "background"},
      {R"(,"background":1)", "background"}, {R"(,"background":true,"temperature":9)", "temperature"}};
  for (const auto& [fields, param] : cases) EXPECT_EQ(Respond(fields)["error"]["param"], param) << fields;
}

}  // namespace
}  // namespace braid
