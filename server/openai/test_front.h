// The whole front over a fake engine and a real socket, for the tests of APIs with named events.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/http/http_server.h"
#include "server/http/loopback_client.h"
#include "server/openai/fake_source.h"
#include "server/openai/openai_routes.h"

namespace braid {

class FrontTest : public testing::Test {
 protected:
  struct Event {
    std::string name;
    Json data;
  };

  void SetUp() override { Restart({}); }
  void TearDown() override {
    server_.reset();
    serving_.reset();
  }

  // A model that answers `script` and writes reasoning and calls in the Hermes format.
  void Restart(FakeSource::Script script, HttpConfig http = {}) {
    TearDown();
    serving_ = std::make_unique<Serving>(ServingConfig{.served_names = {"tiny"}}, &clock_);
    auto source = std::make_unique<FakeSource>(std::move(script), 260, 4000);
    source_ = source.get();
    LoadedModel model{.source = std::move(source), .text = ByteTextModel()};
    model.text.output_format = OutputFormat::kHermes;
    serving_->SetReady(std::move(model));
    http.address = "127.0.0.1";
    http.port = 0;
    auto server = HttpServer::Start(std::move(http), MakeRoutes(serving_.get(), {}));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string Ask(std::string_view method, std::string_view path, std::string_view body, std::string_view headers = "") {
    std::string out(method);
    out.append(" ").append(path).append(" HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n");
    out.append(headers).append(absl::StrCat("Content-Length: ", body.size(), "\r\n\r\n")).append(body);
    return LoopbackClient(server_->port()).Ask(out);
  }
  std::string Post(std::string_view path, std::string_view body) { return Ask("POST", path, body); }

  static Json Parsed(const std::string& response) {
    auto json = ParseJson(BodyOf(response));
    EXPECT_TRUE(json.ok()) << response;
    return json.ok() ? *std::move(json) : Json::object();
  }

  // What is to be between `begin` and the next `end` from `at` on; `at` goes behind it.
  static bool Cut(const std::string& text, std::string_view begin, std::string_view end, size_t* at, std::string* out) {
    const size_t from = text.find(begin, *at);
    if (from == std::string::npos) return false;
    *at = text.find(end, from);
    *out = text.substr(from + begin.size(), *at - from - begin.size());
    return true;
  }

  static std::vector<Event> Events(const std::string& response) {
    std::vector<Event> out;
    size_t at = 0;
    std::string name, data;
    while (Cut(response, "event: ", "\n", &at, &name) && Cut(response, "data: ", "\n\n", &at, &data)) {
      auto json = ParseJson(data);
      EXPECT_TRUE(json.ok()) << data;
      out.push_back({name, json.ok() ? *json : Json()});
      EXPECT_EQ(out.back().data["type"], name);
    }
    EXPECT_EQ(response.find("[DONE]"), std::string::npos);
    return out;
  }

  // The names of events, those that follow one of the same name left out.
  static std::vector<std::string> Order(const std::vector<Event>& events) {
    std::vector<std::string> out;
    for (const Event& event : events) {
      if (out.empty() || out.back() != event.name) out.push_back(event.name);
    }
    return out;
  }

  // Bodies made of `seeds` by a few edits: each gets an answer, and the server lives on.
  void ExpectAnswersToAnyBody(std::string_view path, const std::vector<std::string>& seeds, int rounds) {
    std::mt19937 random(7);
    for (int round = 0; round < rounds; ++round) {
      std::string body = seeds[round % seeds.size()];
      for (int edit = 0; edit < 1 + round % 3; ++edit) {
        const size_t at = random() % body.size();
        if (random() % 2 == 0) body[at] = "{}[]\",:0-1e.tn\\\x80"[random() % 16];
        else body.erase(at, 1 + random() % 3);
      }
      const int status = StatusOf(Post(path, body));
      EXPECT_TRUE(status == 200 || status == 400 || status == 404) << status << " " << body;
    }
    EXPECT_EQ(StatusOf(Post(path, seeds[0])), 200);
  }

  SteadyClock clock_;
  std::unique_ptr<Serving> serving_;
  FakeSource* source_ = nullptr;
  std::unique_ptr<HttpServer> server_;
};

// Reasoning, text and two calls, as a model of the Hermes format writes them.
inline const char kRichAnswer[] =
    "<think>\nhm\n</think>\n\nWell"
    "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>"
    "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 2}}\n</tool_call>";

}  // namespace braid
