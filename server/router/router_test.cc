// A router in front of scripted workers on real sockets.
#include "server/router/router.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"
#include "server/http/loopback_client.h"
#include "server/prefill_header.h"

namespace braid {
namespace {

// A worker whose answers to completions are scripted.
class FakeWorker {
 public:
  enum class Act { kAnswer, kBusy, kStreamWhole, kStreamAndDie, kDieSilently, kRefuse, kHang };

  explicit FakeWorker(Act act, int port = 0) : act(act) {
    RouteTable routes;
    routes.Add({.method = "GET", .path = "/worker", .name = "worker", .handler = [this](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
                  if (this->act == Act::kHang && asked > 0) return;
                  exchange->Send({.body = absl::StrCat(R"({"ready":)", ready ? "true" : "false", R"(,"grpc_port":9,"hands_over":true,"running":0,"waiting":0})")});
                }});
    routes.Add({.method = "POST", .path = "/v1/completions", .name = "completions",
                .handler = [this](HttpRequest request, std::shared_ptr<HttpExchange> exchange) { Answer(std::move(request), *exchange); }});
    HttpConfig config;
    config.address = "127.0.0.1";
    config.port = static_cast<uint16_t>(port);
    auto server = HttpServer::Start(std::move(config), std::move(routes));
    CHECK(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string address() const { return absl::StrCat("127.0.0.1:", server_->port()); }

  std::atomic<Act> act;
  std::atomic<bool> ready{true};
  std::atomic<int> asked{0};
  std::string last_body, last_prefill, last_authorization;  // read when it is quiet

 private:
  void Answer(HttpRequest request, HttpExchange& exchange) {
    ++asked;
    last_body = request.body;
    if (const std::string* header = request.head.Find("x-braid-prefill")) last_prefill = *header;
    if (const std::string* header = request.head.Find("authorization")) last_authorization = *header;
    switch (act) {
      case Act::kAnswer: return exchange.Send({.body = R"({"text":"whole"})"});
      case Act::kBusy: return exchange.Send({.status = 503, .body = R"({"error":{"code":503}})", .headers = {{"Retry-After", "7"}}});
      case Act::kRefuse: return exchange.Send({.status = 400, .body = R"({"error":{"code":400}})"});
      case Act::kDieSilently:
        exchange.BeginEvents();
        return exchange.BreakEvents();
      case Act::kHang:
        exchange.BeginEvents();
        exchange.Event(R"({"choices":[{"index":0,"text":"0 ","token_ids":[0],"finish_reason":null}]})");
        return exchange.Flush();
      case Act::kStreamWhole: return Stream(request.body, exchange, true);
      case Act::kStreamAndDie: return Stream(request.body, exchange, false);
    }
  }

  // Counts: token i is said as "i ".
  static void Stream(const std::string& body, HttpExchange& exchange, bool whole) {
    auto json = ParseJson(body, {});
    const int told = static_cast<int>(json->value("resume_token_ids", Json::array()).size());
    exchange.BeginEvents();
    for (int i = told; i < (whole ? 6 : told + 2); ++i) {
      exchange.Event(absl::StrCat(R"({"choices":[{"index":0,"text":")", i, R"( ","token_ids":[)", i, R"(],"finish_reason":)",
                                  i == 5 ? "\"length\"" : "null", "}]}"));
    }
    if (!whole) return exchange.BreakEvents();
    exchange.Event("[DONE]");
    exchange.EndEvents();
  }

  std::unique_ptr<HttpServer> server_;
};

using Act = FakeWorker::Act;

class RouterTest : public ::testing::Test {
 protected:
  void StartRouter(RouterConfig config) {
    config.port = 0;
    config.poll_ms = 20;
    auto router = Router::Start(config);
    ASSERT_TRUE(router.ok()) << router.status();
    router_ = *std::move(router);
  }
  bool Eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 2000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }
  bool BecomesHealthy(int workers, Pool pool = Pool::kDecode) {
    return Eventually([&] { return router_->parts().workers.Count(pool).healthy == workers; });
  }
  std::string Post(const std::string& body) {
    return LoopbackClient(router_->port()).Ask(absl::StrCat("POST /v1/completions HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer k\r\n"
                                                            "Content-Type: application/json\r\nContent-Length: ", body.size(), "\r\n\r\n", body));
  }
  std::string Get(const std::string& path) {
    return LoopbackClient(router_->port()).Ask(absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  }
  // The texts of a stream's events, and "!" for an error, "." for its end.
  static std::string Told(const std::string& response) {
    std::string told;
    EventReader reader;
    std::string body = BodyOf(response), bytes;
    while (!body.empty()) {  // chunks of the transfer coding
      const size_t line = body.find("\r\n");
      const size_t size = line == std::string::npos ? 0 : std::stoul(body.substr(0, line), nullptr, 16);
      if (size == 0 || body.size() < line + 2 + size) break;
      bytes += body.substr(line + 2, size);
      body.erase(0, line + 2 + size + 2);
    }
    reader.Feed(bytes, [&](std::string_view data, std::string_view) {
      bool of_worker;
      if (data == "[DONE]") return told.append("."), void();
      if (RoutedBody::IsError(data, &of_worker)) return told.append("!"), void();
      told += ParseJson(data, {})->at("choices")[0].value("text", "");
    });
    return told;
  }

  std::unique_ptr<Router> router_;
};

TEST_F(RouterTest, PassesRequestsAndAnswersOn) {
  FakeWorker worker(Act::kAnswer);
  StartRouter({.workers = {worker.address()}});
  ASSERT_TRUE(BecomesHealthy(1));
  const std::string response = Post(R"({"prompt": "x"})");
  EXPECT_EQ(StatusOf(response), 200);
  EXPECT_EQ(BodyOf(response), R"({"text":"whole"})");
  EXPECT_EQ(worker.last_body, R"({"prompt": "x"})");
  EXPECT_EQ(worker.last_authorization, "Bearer k");
  worker.act = Act::kRefuse;
  EXPECT_EQ(StatusOf(Post("{}")), 400);
  EXPECT_EQ(worker.asked, 2);
}

TEST_F(RouterTest, SaysSoWhenNobodyIsHealthy) {
  FakeWorker worker(Act::kAnswer);
  worker.ready = false;
  StartRouter({.workers = {worker.address()}});
  const std::string response = Post("{}");
  EXPECT_EQ(StatusOf(response), 503);
  EXPECT_NE(response.find("Retry-After: 1"), std::string::npos);
  EXPECT_NE(response.find("no worker is healthy"), std::string::npos);
  EXPECT_EQ(StatusOf(Get("/readyz")), 503);
  worker.ready = true;
  ASSERT_TRUE(BecomesHealthy(1));
  EXPECT_EQ(StatusOf(Get("/readyz")), 200);
  EXPECT_EQ(StatusOf(Post("{}")), 200);
}

TEST_F(RouterTest, AsksAnotherBeforeAnythingWasTold) {
  for (const Act bad : {Act::kBusy, Act::kDieSilently}) {
    FakeWorker first(bad), second(bad);
    StartRouter({.workers = {first.address(), second.address()}, .max_tries = 2});
    ASSERT_TRUE(BecomesHealthy(2));
    const std::string refusal = Post(R"({"prompt":"x","stream":true})");
    EXPECT_EQ(StatusOf(refusal), 503);
    EXPECT_EQ(refusal.find("Retry-After: 7") != std::string::npos, bad == Act::kBusy);  // the worker's own word
    EXPECT_EQ(first.asked + second.asked, 2);
    second.act = Act::kStreamWhole;
    first.act = Act::kStreamWhole;
    ASSERT_TRUE(BecomesHealthy(2));
    first.act = bad;
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(Told(Post(R"({"prompt":"x","stream":true})")), "0 1 2 3 4 5 .");
      ASSERT_TRUE(BecomesHealthy(2));
    }
    router_.reset();
  }
}

TEST_F(RouterTest, AStreamGoesOnElsewhereWithoutAGap) {
  FakeWorker first(Act::kStreamAndDie), second(Act::kStreamAndDie);
  StartRouter({.workers = {first.address(), second.address()}, .max_tries = 9});
  ASSERT_TRUE(BecomesHealthy(2));
  // Both die once; the third time there is none left that has not been asked.
  EXPECT_EQ(Told(Post(R"({"prompt":"x","stream":true})")), "0 1 2 3 !");
  second.act = Act::kStreamWhole;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(BecomesHealthy(2));
    const std::string response = Post(R"({"prompt":"x","stream":true})");
    EXPECT_EQ(Told(response), "0 1 2 3 4 5 .");
    EXPECT_EQ(response.find("token_ids"), std::string::npos);
  }
  EXPECT_NE(Get("/metrics").find("braid_router_resumed_total"), std::string::npos);
  EXPECT_GE(router_->parts().counters.resumed, 3u);
  // Several choices cannot go on: the client is told.
  first.act = second.act = Act::kStreamAndDie;
  ASSERT_TRUE(BecomesHealthy(2));
  EXPECT_EQ(Told(Post(R"({"prompt":"x","stream":true,"n":2})")), "0 1 !");
}

TEST_F(RouterTest, AStreamLeavesAWorkerThatHangs) {
  FakeWorker hangs(Act::kHang), whole(Act::kStreamWhole);
  whole.ready = false;
  StartRouter({.workers = {hangs.address(), whole.address()}, .answer_ms = 50});
  ASSERT_TRUE(BecomesHealthy(1));
  std::thread back([&] {
    Eventually([&] { return hangs.asked > 0; });
    whole.ready = true;
  });
  EXPECT_EQ(Told(Post(R"({"prompt":"x","stream":true})")), "0 1 2 3 4 5 .");
  back.join();
  EXPECT_EQ(router_->parts().counters.resumed, 1u);
}

TEST_F(RouterTest, ADeadWorkerIsAvoidedAndUsedAgainWhenItIsBack) {
  auto first = std::make_unique<FakeWorker>(Act::kAnswer);
  FakeWorker second(Act::kAnswer);
  const int port = std::stoi(first->address().substr(10));
  StartRouter({.workers = {first->address(), second.address()}});
  ASSERT_TRUE(BecomesHealthy(2));
  first.reset();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(StatusOf(Post("{}")), 200);
  EXPECT_EQ(second.asked, 6);
  ASSERT_TRUE(BecomesHealthy(1));
  first = std::make_unique<FakeWorker>(Act::kAnswer, port);
  ASSERT_TRUE(BecomesHealthy(2));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(StatusOf(Post("{}")), 200);
  EXPECT_GT(first->asked, 0);
}

TEST_F(RouterTest, LongPromptsGetAPrefillingProcessWithASignature) {
  const std::string path = ::testing::TempDir() + "router_key";
  FILE* file = std::fopen(path.c_str(), "w");
  std::fputs("0123456789abcdef", file);
  std::fclose(file);
  FakeWorker decode(Act::kAnswer), prefill(Act::kAnswer);
  StartRouter({.prefill = {prefill.address()}, .decode = {decode.address()}, .handover_key_file = path, .short_prompt_bytes = 100});
  ASSERT_TRUE(BecomesHealthy(1) && BecomesHealthy(1, Pool::kPrefill));
  EXPECT_EQ(StatusOf(Post(R"({"prompt":"short"})")), 200);
  EXPECT_EQ(decode.last_prefill, "");
  EXPECT_EQ(StatusOf(Post(absl::StrCat(R"({"prompt":")", std::string(200, 'x'), "\"}"))), 200);
  PeerKey key("0123456789abcdef");
  const auto peer = ReadPrefillHeader(key, decode.last_prefill);
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(*peer, "127.0.0.1:9");
  EXPECT_FALSE(ReadPrefillHeader(key, "127.0.0.2:9" + decode.last_prefill.substr(11)).ok());
  EXPECT_EQ(prefill.asked, 0);  // it is the decoding process that asks it
}

TEST(RouterConfig, NamesTheFlagThatIsWrong) {
  EXPECT_EQ(RouterConfig{}.Validate().message(), "--workers or --decode: at least one address to send requests to is needed");
  EXPECT_EQ((RouterConfig{.workers = {"nowhere"}}.Validate().message()), "--workers: 'nowhere' is not HOST:PORT");
  EXPECT_EQ((RouterConfig{.prefill = {"a:1"}, .decode = {"b:2"}}.Validate().message()), "--prefill: --handover-key-file is needed beside it");
  EXPECT_TRUE((RouterConfig{.workers = {"[::1]:80", "braid.default.svc:8000"}}.Validate().ok()));
}

}  // namespace
}  // namespace braid
