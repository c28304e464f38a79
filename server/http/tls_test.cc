#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/http/http_server.h"
#include "server/http/loopback_client.h"
#include "server/http/test_certificate.h"
#include "server/http/tls_client.h"
#include "server/http/tls_context.h"

namespace braid {
namespace {

std::shared_ptr<TlsContext> ContextOf(const TestCertificate& pair) {
  auto tls = TlsContext::FromPem({"chain", pair.certificate}, {"key", pair.key});
  EXPECT_TRUE(tls.ok()) << tls.status();
  return tls.ok() ? *tls : nullptr;
}

class TlsTest : public testing::Test {
 protected:
  void SetUp() override { Restart({}); }
  void TearDown() override { server_.reset(); }

  void Restart(HttpConfig config) {
    server_.reset();
    config.address = "127.0.0.1";
    config.port = 0;
    config.tls = ContextOf(MakeTestCertificate("first.example"));
    auto server = HttpServer::Start(std::move(config), Routes());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  RouteTable Routes() {
    RouteTable routes;
    const auto add = [&](const char* method, const char* path, HttpHandler handler) {
      routes.Add({.method = method, .path = path, .name = "x", .handler = std::move(handler)});
    };
    add("GET", "/hello",
        [](HttpRequest, auto exchange) { exchange->Send({.content_type = "text/plain", .body = "hello"}); });
    add("POST", "/echo", [](HttpRequest request, auto exchange) { exchange->Send({.body = request.body}); });
    add("GET", "/never", [this](HttpRequest, auto exchange) { exchange->OnGone([this, exchange] { ++gone_; }); });
    add("GET", "/events", [](HttpRequest, auto exchange) {
      exchange->BeginEvents();
      exchange->Event("1");
      exchange->Flush();
      exchange->Post([exchange] {
        exchange->Event("2");
        exchange->EndEvents();
      });
    });
    add("GET", "/flood", [this](HttpRequest, auto exchange) {
      exchange->OnGone([this] { ++gone_; });
      exchange->BeginEvents();
      for (int i = 0; i < 400; ++i) exchange->Event(std::string(4000, 'x'));
      exchange->Flush();
    });
    return routes;
  }

  void ExpectSoon(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
  }

  std::unique_ptr<HttpServer> server_;
  std::atomic<int> gone_{0};
};

constexpr char kGet[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr char kLast[] = "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
constexpr char kJson[] = "Host: h\r\nConnection: close\r\nContent-Type: application/json\r\n";

TEST_F(TlsTest, AnswersAndKeepsTheConnection) {
  TlsClient client(server_->port());
  ASSERT_TRUE(client.connected()) << client.connected_error();
  EXPECT_EQ(client.protocol(), "http/1.1");
  EXPECT_EQ(client.server_name(), "first.example");
  for (int i = 0; i < 3; ++i) {
    client.Send(kGet);
    EXPECT_EQ(BodyOf(client.ReadResponse()), "hello");
  }
  EXPECT_EQ(BodyOf(client.Ask(kLast)), "hello");
  EXPECT_EQ(client.read_error(), boost::asio::error::eof);  // and not: cut off
}

TEST_F(TlsTest, SpeaksVersion12AndNothingOlder) {
  TlsClient old(server_->port(), TLS1_2_VERSION);
  EXPECT_EQ(BodyOf(old.Ask(kLast)), "hello");
  EXPECT_FALSE(TlsClient(server_->port(), TLS1_1_VERSION, TLS1_VERSION).connected());
}

TEST_F(TlsTest, CarriesLargeBodiesBothWays) {
  std::string body(3 << 20, 'b');
  std::mt19937 random(1);
  for (char& c : body) c = static_cast<char>('a' + random() % 26);
  TlsClient client(server_->port());
  const std::string head = absl::StrCat("POST /echo HTTP/1.1\r\n", kJson, "Content-Length: ", body.size(), "\r\n\r\n");
  EXPECT_EQ(BodyOf(client.Ask(head + body)), body);
}

TEST_F(TlsTest, StreamsEvents) {
  TlsClient client(server_->port());
  client.Send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(BodyOf(client.ReadUntil("0\r\n\r\n")), "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(BodyOf(client.Ask(kLast)), "hello");
}

TEST_F(TlsTest, TellsWhyALongBodyIsRefusedWhileItIsSent) {
  TlsClient client(server_->port());
  client.Send(absl::StrCat("POST /echo HTTP/1.1\r\n", kJson, "Content-Length: 99999999\r\n\r\n"));
  std::thread sender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // the answer is under way already
    const std::string piece(1 << 20, 'x');
    boost::system::error_code ignored;
    for (int i = 0; i < 4; ++i) client.socket().send(boost::asio::buffer(piece), MSG_NOSIGNAL, ignored);
  });
  sender.join();
  EXPECT_EQ(StatusOf(client.ReadUntil({})), 413);
}

TEST_F(TlsTest, ClosesWhoeverSpeaksPlainly) {
  EXPECT_EQ(StatusOf(LoopbackClient(server_->port()).Ask(kLast)), 0);
  ExpectSoon([&] { return server_->Connections() == 0; });
  EXPECT_EQ(BodyOf(TlsClient(server_->port()).Ask(kLast)), "hello");
}

TEST_F(TlsTest, HoldsTheHandshakeToTheHeadersTime) {
  HttpConfig config;
  config.limits.header_timeout_ms = 200;
  config.limits.idle_timeout_ms = 60'000;
  Restart(std::move(config));
  LoopbackClient silent(server_->port());
  LoopbackClient half(server_->port());
  half.Send(std::string("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_TRUE(silent.closed());
  EXPECT_EQ(half.ReadAll(), "");
  EXPECT_TRUE(half.closed());
}

TEST_F(TlsTest, HoldsTheOtherLimitsToo) {
  HttpConfig config;
  config.limits.header_timeout_ms = config.limits.body_gap_timeout_ms = config.limits.idle_timeout_ms = 200;
  config.limits.unread_timeout_ms = 300;
  config.limits.max_connections = 1;
  Restart(std::move(config));
  EXPECT_EQ(StatusOf(TlsClient(server_->port()).Ask("GET /hello HTTP/1.1\r\nHo")), 408);
  ExpectSoon([&] { return server_->Connections() == 0; });
  EXPECT_EQ(StatusOf(TlsClient(server_->port())
                         .Ask(absl::StrCat("POST /echo HTTP/1.1\r\n", kJson, "Content-Length: 5\r\n\r\nab"))),
            408);
  ExpectSoon([&] { return server_->Connections() == 0; });
  TlsClient idle(server_->port());
  ASSERT_TRUE(idle.connected());
  EXPECT_FALSE(TlsClient(server_->port()).connected());  // one too many
  EXPECT_EQ(idle.Ask(""), "");
  ExpectSoon([&] { return server_->Connections() == 0; });
  TlsClient slow(server_->port(), TLS1_3_VERSION, 0, 4096);
  slow.Send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  ExpectSoon([&] { return gone_ == 1; });
}

TEST_F(TlsTest, TellsHandlersThatTheClientIsGone) {
  {
    TlsClient client(server_->port());
    client.Send("GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(gone_, 0);
  }
  ExpectSoon([&] { return gone_ == 1; });
  ExpectSoon([&] { return server_->Connections() == 0; });
}

TEST_F(TlsTest, TakesAnotherCertificateForConnectionsToCome) {
  TlsClient before(server_->port());
  server_->SetTls(ContextOf(MakeTestCertificate("second.example")));
  EXPECT_EQ(TlsClient(server_->port()).server_name(), "second.example");
  EXPECT_EQ(BodyOf(before.Ask(kLast)), "hello");
}

TEST_F(TlsTest, CarriesManyConnectionsAtOnce) {
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) good += BodyOf(TlsClient(server_->port()).Ask(kLast)) == "hello";
    });
  }
  for (int i = 0; i < 10; ++i) server_->SetTls(ContextOf(MakeTestCertificate("other.example")));
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 160);
}

TEST_F(TlsTest, ClosesConnectionsInAnyStateWhenItStops) {
  LoopbackClient in_handshake(server_->port());
  TlsClient idle(server_->port()), busy(server_->port());
  busy.Send("GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server_->StopListening();
  EXPECT_EQ(in_handshake.ReadAll(), "");
  EXPECT_EQ(idle.Ask(""), "");
  EXPECT_EQ(gone_, 0);
  server_.reset();
  EXPECT_EQ(gone_, 1);
}

TEST_F(TlsTest, OutlivesAnyBytes) {
  std::mt19937 random(11);
  const std::string hello("\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03", 11);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = round % 3 == 0 ? "" : hello;
    for (int i = 0; i < 60; ++i) bytes.push_back(static_cast<char>(random()));
    if (round % 2 == 0) bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    LoopbackClient client(server_->port());
    client.Send(bytes);
    client.CloseSending();
    client.ReadAll();
  }
  EXPECT_EQ(BodyOf(TlsClient(server_->port()).Ask(kLast)), "hello");
}

TEST(TlsContext, SaysWhatIsWrongWithAPair) {
  const TestCertificate good = MakeTestCertificate("a"), other = MakeTestCertificate("b"),
                        locked = MakeTestCertificate("c", "secret");
  const auto words = [](const std::string& certificate, const std::string& key) {
    return std::string(TlsContext::FromPem({"chain", certificate}, {"key", key}).status().message());
  };
  EXPECT_EQ(words(good.certificate, good.key), "");
  EXPECT_NE(words("", good.key).find("chain: no certificate in PEM form"), std::string::npos);
  EXPECT_NE(words(good.certificate, good.certificate).find("key: no unencrypted private key in PEM form"),
            std::string::npos);
  EXPECT_NE(words(good.certificate, other.key).find("private key"), std::string::npos);
  EXPECT_NE(words(locked.certificate, locked.key).find("unencrypted private key"), std::string::npos);
}

TEST(TlsContext, ReadsAnyPair) {
  const TestCertificate good = MakeTestCertificate("a");
  std::mt19937 random(13);
  for (int round = 0; round < 2000; ++round) {
    TestCertificate pair = good;
    std::string& text = round % 2 == 0 ? pair.certificate : pair.key;
    for (int edit = 0; edit < 1 + round % 4; ++edit) text[random() % text.size()] = static_cast<char>(random());
    if (round % 7 == 0) text.resize(random() % text.size());
    (void)TlsContext::FromPem({"chain", pair.certificate}, {"key", pair.key});
  }
}

}  // namespace
}  // namespace braid
