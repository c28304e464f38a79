#include "server/openai/openai_routes.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/http/http_server.h"
#include "server/http/loopback_client.h"
#include "server/openai/fake_source.h"

namespace braid {
namespace {

// The whole front over a fake engine and a real socket.
class OpenAiTest : public testing::Test {
 protected:
  void SetUp() override { Restart({}); }
  void TearDown() override { Stop(); }

  void Stop() {
    server_.reset();
    serving_.reset();
  }

  void Restart(FakeSource::Script script, bool with_text = true, bool ready = true) {
    Stop();
    ServingConfig config{.served_names = {"tiny", "org/tiny"}, .model_root = "/m", .created_unix_s = 7};
    serving_ = std::make_unique<Serving>(std::move(config), &clock_);
    auto source = std::make_unique<FakeSource>(std::move(script));
    source_ = source.get();
    pending_ = {.source = std::move(source), .text = with_text ? ByteTextModel() : TextModel{}};
    if (ready) serving_->SetReady(std::move(pending_));
    HttpConfig http{.address = "127.0.0.1", .port = 0};
    auto server = HttpServer::Start(std::move(http), MakeRoutes(serving_.get(), {.version = "1.2", .metrics = [] { return "m 1\n"; }}));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string Raw(std::string_view path, std::string_view body, std::string_view headers = "") {
    std::string out = "POST ";
    out.append(path).append(" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n");
    out.append(headers).append(absl::StrCat("Content-Length: ", body.size(), "\r\n\r\n")).append(body);
    return out;
  }
  std::string Post(std::string_view path, std::string_view body) { return LoopbackClient(server_->port()).Ask(Raw(path, body)); }
  std::string Get(std::string_view path) {
    return LoopbackClient(server_->port()).Ask(std::string("GET ").append(path).append(" HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  }
  static Json Parsed(const std::string& response) {
    auto json = ParseJson(BodyOf(response));
    EXPECT_TRUE(json.ok()) << response;
    return json.ok() ? *std::move(json) : Json::object();
  }
  std::string Chat(std::string_view fields) {
    return Post("/v1/chat/completions", std::string(R"({"messages":[{"role":"user","content":"hi"}])").append(fields).append("}"));
  }
  std::string Complete(std::string_view fields) { return Post("/v1/completions", std::string(R"({"model":"tiny")").append(fields).append("}")); }

  // The data of the events of a chunked stream.
  static std::vector<std::string> Events(const std::string& response) {
    std::vector<std::string> out;
    size_t at = 0;
    while ((at = response.find("data: ", at)) != std::string::npos) {
      const size_t end = response.find("\n\n", at);
      out.push_back(response.substr(at + 6, end - at - 6));
      at = end;
    }
    return out;
  }
  void ExpectSoon(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
  }

  SteadyClock clock_;
  std::unique_ptr<Serving> serving_;
  FakeSource* source_ = nullptr;
  LoadedModel pending_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(OpenAiTest, ChatReply) {
  const std::string response = Chat(R"(,"model":"org/tiny","return_token_ids":true,"logprobs":true,"top_logprobs":2)");
  ASSERT_EQ(StatusOf(response), 200) << response;
  const Json reply = Parsed(response);
  EXPECT_EQ(reply["object"], "chat.completion");
  EXPECT_EQ(reply["model"], "org/tiny");
  EXPECT_EQ(reply["id"].get<std::string>().substr(0, 9), "chatcmpl-");
  EXPECT_EQ(reply["system_fingerprint"], "fp_test");
  const Json& choice = reply["choices"][0];
  EXPECT_EQ(choice["message"]["content"], "Hello");
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_TRUE(choice["stop_reason"].is_null());
  EXPECT_EQ(choice["token_ids"], (Json{72, 101, 108, 108, 111, 256}));
  EXPECT_EQ(reply["prompt_token_ids"], (Json{257, 104, 105, 256, 258}));
  EXPECT_EQ(choice["logprobs"]["content"].size(), 6u);
  EXPECT_EQ(choice["logprobs"]["content"][0]["token"], "H");
  EXPECT_EQ(choice["logprobs"]["content"][0]["bytes"], Json::array({72}));
  EXPECT_EQ(choice["logprobs"]["content"][0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(reply["usage"]["prompt_tokens"], 5);
  EXPECT_EQ(reply["usage"]["completion_tokens"], 6);
  EXPECT_EQ(reply["usage"]["total_tokens"], 11);
  EXPECT_EQ(reply["usage"]["prompt_tokens_details"]["cached_tokens"], 1);
}

TEST_F(OpenAiTest, ChatStream) {
  const std::string response = Chat(R"(,"stream":true,"n":2,"stream_options":{"include_usage":true})");
  ASSERT_EQ(StatusOf(response), 200) << response;
  EXPECT_NE(response.find("Content-Type: text/event-stream; charset=utf-8\r\n"), std::string::npos);
  const auto events = Events(response);
  ASSERT_GT(events.size(), 5u);
  EXPECT_EQ(events.back(), "[DONE]");
  std::string text[2], finish[2], id;
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    const auto chunk = ParseJson(events[i]);
    ASSERT_TRUE(chunk.ok()) << events[i];
    EXPECT_EQ((*chunk)["object"], "chat.completion.chunk");
    const Json& choice = (*chunk)["choices"][0];
    const int index = choice["index"];
    if (i < 2) {
      EXPECT_EQ(choice["delta"]["role"], "assistant");
      EXPECT_EQ(index, static_cast<int>(i));
    }
    if (choice["delta"].contains("content")) text[index] += choice["delta"]["content"];
    if (!choice["finish_reason"].is_null()) finish[index] = choice["finish_reason"];
    EXPECT_TRUE(i == 0 || (*chunk)["id"] == id);
    id = (*chunk)["id"];
  }
  for (int index : {0, 1}) {
    EXPECT_EQ(text[index], "Hello");
    EXPECT_EQ(finish[index], "stop");
  }
  const auto usage = ParseJson(events[events.size() - 2]);
  EXPECT_EQ((*usage)["choices"].size(), 0u);
  EXPECT_EQ((*usage)["usage"]["completion_tokens"], 12);
}

TEST_F(OpenAiTest, StopStringsCutTheText) {
  const Json reply = Parsed(Chat(R"(,"stop":["ll"],"n":2)"));
  for (int i : {0, 1}) {
    EXPECT_EQ(reply["choices"][i]["message"]["content"], "He");
    EXPECT_EQ(reply["choices"][i]["stop_reason"], "ll");
    EXPECT_EQ(reply["choices"][i]["finish_reason"], "stop");
  }
  EXPECT_EQ(reply["usage"]["completion_tokens"], 8);
  const Json kept = Parsed(Chat(R"(,"stop":"ll","include_stop_str_in_output":true)"));
  EXPECT_EQ(kept["choices"][0]["message"]["content"], "Hell");
  const Json by_id = Parsed(Chat(R"(,"stop_token_ids":[108])"));
  EXPECT_EQ(by_id["choices"][0]["message"]["content"], "He");
  EXPECT_EQ(by_id["choices"][0]["stop_reason"], 108);
}

TEST_F(OpenAiTest, LengthAndContext) {
  const Json reply = Parsed(Chat(R"(,"max_tokens":2)"));
  EXPECT_EQ(reply["choices"][0]["message"]["content"], "He");
  EXPECT_EQ(reply["choices"][0]["finish_reason"], "length");
  Chat("");
  EXPECT_EQ(source_->requests().back().max_tokens, 195);
  const std::string response = Complete(absl::StrCat(R"(,"prompt":")", std::string(200, 'x'), "\""));
  EXPECT_EQ(StatusOf(response), 400);
  const Json error = Parsed(response)["error"];
  EXPECT_NE(error["message"].get<std::string>().find("maximum context length is 200 tokens"), std::string::npos);
  EXPECT_EQ(error["code"], "context_length_exceeded");
}

TEST_F(OpenAiTest, CompletionWithEchoAndLogprobs) {
  const Json reply = Parsed(Complete(R"(,"prompt":[97,98,99],"echo":true,"logprobs":1,"max_tokens":1)"));
  const Json& choice = reply["choices"][0];
  EXPECT_EQ(choice["text"], "abcH");
  EXPECT_EQ(choice["logprobs"]["tokens"], (Json{"a", "b", "c", "H"}));
  EXPECT_EQ(choice["logprobs"]["token_logprobs"], (Json{nullptr, -0.5, -0.5, -0.5}));
  EXPECT_TRUE(choice["logprobs"]["top_logprobs"][0].is_null());
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][1], (Json{{"b", -0.5}}));
  EXPECT_EQ(choice["logprobs"]["text_offset"], (Json{0, 1, 2, 3}));
  EXPECT_EQ(choice["finish_reason"], "length");
  const Json scored = Parsed(Complete(R"(,"prompt":"abc","echo":true,"logprobs":0,"max_tokens":0)"));
  EXPECT_EQ(scored["choices"][0]["text"], "abc");
  EXPECT_EQ(scored["choices"][0]["logprobs"]["tokens"].size(), 3u);
  EXPECT_EQ(scored["usage"]["completion_tokens"], 0);
}

TEST_F(OpenAiTest, PromptLogprobsHoldTheTokenAndTheBestOnes) {
  const Json reply = Parsed(Chat(R"(,"prompt_logprobs":2,"n":2)"));
  const Json first{{"104", {{"logprob", -0.5}, {"rank", 1}, {"decoded_token", "h"}}},
                   {"105", {{"logprob", -1.5}, {"rank", 2}, {"decoded_token", "i"}}}};
  ASSERT_EQ(reply["prompt_logprobs"].size(), 5u) << reply;
  EXPECT_TRUE(reply["prompt_logprobs"][0].is_null());
  EXPECT_EQ(reply["prompt_logprobs"][1], first);
  EXPECT_TRUE(reply["prompt_logprobs"][4].contains("258"));
  EXPECT_FALSE(reply["choices"][0].contains("prompt_logprobs"));
  EXPECT_EQ(source_->requests().back().prompt_logprobs, 2);
  EXPECT_FALSE(Parsed(Chat("")).contains("prompt_logprobs"));
  EXPECT_EQ(source_->requests().back().prompt_logprobs, -1);
  EXPECT_EQ(Parsed(Chat(R"(,"prompt_logprobs":0)"))["prompt_logprobs"][1].size(), 1u);
}

TEST_F(OpenAiTest, PromptLogprobsOfCompletionsAreTheirChoices) {
  const Json reply = Parsed(Complete(R"(,"prompt":["ab","c"],"n":2,"echo":true,"logprobs":2,"prompt_logprobs":1,"max_tokens":1)"));
  const Json told = Json::parse(R"([null,{"98":{"logprob":-0.5,"rank":1,"decoded_token":"b"}}])");
  for (int i : {0, 1}) EXPECT_EQ(reply["choices"][i]["prompt_logprobs"], told);
  for (int i : {2, 3}) EXPECT_EQ(reply["choices"][i]["prompt_logprobs"], Json::parse("[null]"));
  EXPECT_EQ(reply["choices"][0]["logprobs"]["top_logprobs"][1].size(), 2u);  // the echo's count is its own
  EXPECT_EQ(source_->requests().back().prompt_logprobs, 2);
}

TEST_F(OpenAiTest, PromptLogprobsOfAllIdsAreBounded) {
  const Json reply = Parsed(Complete(R"(,"prompt":"ab","prompt_logprobs":-1)"));
  EXPECT_EQ(source_->requests().back().prompt_logprobs, 260);
  EXPECT_EQ(reply["choices"][0]["prompt_logprobs"][1].size(), 260u);
  // 100 tokens x 41 choices x 260 ids.
  const std::string response = Complete(absl::StrCat(R"(,"prompt_logprobs":-1,"n":41,"prompt":")", std::string(100, 'x'), "\""));
  EXPECT_EQ(StatusOf(response), 400);
  const Json error = Parsed(response)["error"];
  EXPECT_EQ(error["param"], "prompt_logprobs");
  EXPECT_NE(error["message"].get<std::string>().find("260 ids for each of 4100 prompt tokens"), std::string::npos) << error;
}

TEST_F(OpenAiTest, PromptLogprobsWithoutTokenizerHaveNoText) {
  Restart({}, false);
  const Json reply = Parsed(Complete(R"(,"prompt":[1,2],"return_token_ids":true,"prompt_logprobs":0)"));
  EXPECT_EQ(reply["choices"][0]["prompt_logprobs"], Json::parse(R"([null,{"2":{"logprob":-0.5,"rank":1,"decoded_token":null}}])"));
}

TEST_F(OpenAiTest, CompletionsOfSeveralPrompts) {
  const Json reply = Parsed(Complete(R"(,"prompt":["a","bc"],"n":2)"));
  ASSERT_EQ(reply["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(reply["choices"][i]["index"], i);
    EXPECT_EQ(reply["choices"][i]["text"], "Hello");
  }
  EXPECT_EQ(reply["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(reply["object"], "text_completion");
}

TEST_F(OpenAiTest, HoldsBackUnfinishedCharacters) {
  Restart({.text = "a\xc3\xa9\xe2\x82\xac!\xff"});
  std::string text;
  const auto events = Events(Complete(R"(,"prompt":"x","stream":true)"));
  for (size_t i = 0; i + 1 < events.size(); ++i) text += (*ParseJson(events[i]))["choices"][0]["text"];
  EXPECT_EQ(text, "a\xc3\xa9\xe2\x82\xac!\xef\xbf\xbd");
}

TEST_F(OpenAiTest, ErrorsInAStreamLeaveItUnfinished) {
  Restart({.fail_after = 2});
  const std::string response = Chat(R"(,"stream":true)");
  EXPECT_EQ(response.find("[DONE]"), std::string::npos);
  EXPECT_EQ(response.find("\"finish_reason\":\"stop\""), std::string::npos);
  const auto events = Events(response);
  ASSERT_FALSE(events.empty());
  const auto last = ParseJson(events.back());
  ASSERT_TRUE(last.ok()) << events.back();
  EXPECT_EQ((*last)["error"]["code"], 500);
  EXPECT_EQ(StatusOf(Chat("")), 500);
  Restart({.fail_after = 0});
  EXPECT_EQ(StatusOf(Chat(R"(,"stream":true)")), 500);
  Restart({.refuse = absl::UnavailableError("the queue is full")});
  const std::string full = Chat(R"(,"stream":true)");
  EXPECT_EQ(StatusOf(full), 503);
  EXPECT_NE(full.find("Retry-After: 1\r\n"), std::string::npos);
}

TEST_F(OpenAiTest, HangUpCancels) {
  Restart({.hold = true});
  for (const char* stream : {"", R"(,"stream":true)"}) {
    const size_t before = source_->cancelled();
    LoopbackClient client(server_->port());
    client.Send(Raw("/v1/chat/completions", absl::StrCat(R"({"messages":[{"role":"user","content":"hi"}])", stream, "}")));
    ExpectSoon([&] { return serving_->InFlight() == 1 && !source_->requests().empty(); });
    EXPECT_EQ(Get("/load").substr(Get("/load").size() - 17), R"({"server_load":1})");
    client.Close();
    ExpectSoon([&] { return serving_->InFlight() == 0 && source_->cancelled() > before; });
  }
}

TEST_F(OpenAiTest, DeadlinesReachTheEngine) {
  LoopbackClient(server_->port()).Ask(Raw("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}]})", "X-Request-Timeout-Ms: 5000\r\n"));
  const GenerateRequest request = source_->requests().back();
  EXPECT_EQ(request.deadline_ns - request.arrival_ns, 5'000'000'000);
}

TEST_F(OpenAiTest, ModelsAndState) {
  const Json models = Parsed(Get("/v1/models"));
  EXPECT_EQ(models["data"].size(), 2u);
  EXPECT_EQ(models["data"][0]["id"], "tiny");
  EXPECT_EQ(models["data"][0]["max_model_len"], 200);
  EXPECT_EQ(Parsed(Get("/v1/models/org/tiny"))["id"], "org/tiny");
  EXPECT_EQ(StatusOf(Get("/v1/models/none")), 404);
  const Json unknown = Parsed(Chat(R"(,"model":"none")"));
  EXPECT_EQ(unknown["error"]["code"], "model_not_found");
  EXPECT_EQ(unknown["error"]["param"], "model");
  for (const char* path : {"/health", "/v1/health", "/ping", "/livez", "/readyz", "/ready"}) EXPECT_EQ(StatusOf(Get(path)), 200) << path;
  EXPECT_EQ(Parsed(Get("/version"))["version"], "1.2");
  EXPECT_EQ(BodyOf(Get("/metrics")), "m 1\n");
  EXPECT_EQ(StatusOf(Post("/v1/embeddings", "{}")), 400);
  serving_->BeginDrain();
  EXPECT_EQ(StatusOf(Get("/readyz")), 503);
  EXPECT_EQ(StatusOf(Get("/livez")), 200);
  EXPECT_EQ(StatusOf(Chat("")), 503);
}

TEST_F(OpenAiTest, LoadingIsUnavailable) {
  Restart({}, true, false);
  EXPECT_EQ(StatusOf(Get("/health")), 503);
  EXPECT_EQ(StatusOf(Get("/v1/models")), 503);
  EXPECT_EQ(StatusOf(Chat("")), 503);
  EXPECT_EQ(StatusOf(Get("/livez")), 200);
  serving_->SetReady(std::move(pending_));
  EXPECT_EQ(StatusOf(Chat("")), 200);
}

TEST_F(OpenAiTest, TokenizeAndBack) {
  const Json tokens = Parsed(Post("/tokenize", R"({"prompt":"ab<|end|>","return_token_strs":true})"));
  EXPECT_EQ(tokens["tokens"], (Json{97, 98, 256}));
  EXPECT_EQ(tokens["count"], 3);
  EXPECT_EQ(tokens["token_strs"], (Json{"a", "b", "<|end|>"}));
  EXPECT_EQ(Parsed(Post("/tokenize", R"({"prompt":"<|end|>","parse_special":false})"))["count"], 7);
  EXPECT_EQ(Parsed(Post("/v1/detokenize", R"({"tokens":[97,98]})"))["prompt"], "ab");
  EXPECT_EQ(Parsed(Post("/v1/tokenize", R"({"messages":[{"role":"user","content":"x"}]})"))["tokens"], (Json{257, 120, 256, 258}));
  EXPECT_EQ(Parsed(Post("/apply-template", R"({"messages":[{"role":"user","content":"x"}]})"))["prompt"], "<|user|>x<|end|><|assistant|>");
  EXPECT_EQ(Parsed(Post("/apply-template", R"({"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}],"continue_final_message":true})"))["prompt"],
            "<|user|>x<|end|><|assistant|>y");
}

TEST_F(OpenAiTest, WithoutTokenizerByIdsOnly) {
  Restart({}, false);
  EXPECT_EQ(StatusOf(Chat("")), 400);
  EXPECT_EQ(StatusOf(Complete(R"(,"prompt":"a")")), 400);
  EXPECT_EQ(StatusOf(Complete(R"(,"prompt":[1,2])")), 400);
  const Json reply = Parsed(Complete(R"(,"prompt":[1,2],"return_token_ids":true)"));
  EXPECT_EQ(reply["choices"][0]["text"], "");
  EXPECT_EQ(reply["choices"][0]["token_ids"].size(), 6u);
  EXPECT_EQ(reply["choices"][0]["prompt_token_ids"], (Json{1, 2}));
}

TEST_F(OpenAiTest, AnswersAnyBody) {
  const std::vector<std::string> seeds = {
      R"({"messages":[{"role":"user","content":"hi"}],"temperature":0.5,"stop":["x"],"stream":false,"n":2,"logit_bias":{"1":2}})",
      R"({"prompt":["a","b"],"echo":true,"logprobs":1,"max_tokens":2,"seed":1,"prompt_logprobs":2})"};
  std::mt19937 random(11);
  for (int round = 0; round < 150; ++round) {
    std::string body = seeds[round % 2];
    for (int edit = 0; edit < 1 + round % 3; ++edit) {
      const size_t at = random() % body.size();
      if (random() % 2 == 0) body[at] = "{}[]\",:0-1e.tn\\\x80"[random() % 16];
      else body.erase(at, 1 + random() % 3);
    }
    const int status = StatusOf(Post(round % 2 == 0 ? "/v1/chat/completions" : "/v1/completions", body));
    EXPECT_TRUE(status == 200 || status == 400 || status == 404) << status << " " << body;
  }
  EXPECT_EQ(StatusOf(Chat("")), 200);
}

// "caf" and the first byte of "é" were told elsewhere.
TEST_F(OpenAiTest, AStreamGoesOnBehindTheTokensToldElsewhere) {
  Restart({.text = "\xa9!"});
  const std::vector<std::string> events = Events(Chat(R"(,"stream":true,"resume_token_ids":[99,97,102,195])"));
  ASSERT_GE(events.size(), 3u);
  const Json first = *ParseJson(events[0], {});
  EXPECT_EQ(first["choices"][0]["delta"], Json::parse(R"({"content":"é"})"));  // no role again, no old text
  EXPECT_EQ(events.back(), "[DONE]");
  ASSERT_EQ(source_->requests().size(), 1u);
  EXPECT_EQ(source_->requests()[0].output, (std::vector<int32_t>{99, 97, 102, 195}));
  const std::vector<std::string> texts = Events(Complete(R"(,"prompt":"x","stream":true,"return_token_ids":true,"resume_token_ids":[195])"));
  const Json text = *ParseJson(texts[0], {});
  EXPECT_EQ(text["choices"][0]["text"], "é");
  EXPECT_EQ(text["choices"][0]["token_ids"], Json::parse("[169]"));
}

TEST_F(OpenAiTest, OnlyAStreamOfOneChoiceGoesOn) {
  for (const char* fields : {R"(,"resume_token_ids":[1])", R"(,"stream":true,"n":2,"resume_token_ids":[1])",
                             R"(,"stream":true,"max_tokens":2,"resume_token_ids":[1,2])", R"(,"stream":true,"resume_token_ids":[999])",
                             R"(,"stream":true,"resume_token_ids":"x")"}) {
    const std::string response = Chat(fields);
    EXPECT_EQ(StatusOf(response), 400) << fields;
    EXPECT_EQ(Parsed(response)["error"]["param"], "resume_token_ids") << fields;
  }
}

}  // namespace
}  // namespace braid
