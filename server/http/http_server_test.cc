#include "server/http/http_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/json.h"
#include "server/http/loopback_client.h"

namespace braid {
namespace {

class HttpServerTest : public testing::Test {
 protected:
  void SetUp() override { Restart({}); }
  void TearDown() override { server_.reset(); }

  void Restart(HttpConfig config) {
    server_.reset();
    config.address = "127.0.0.1";
    config.port = 0;
    auto server = HttpServer::Start(std::move(config), Routes());
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  RouteTable Routes() {
    RouteTable routes;
    routes.Add({.method = "GET", .path = "/hello", .name = "hello", .open = true, .handler = [](HttpRequest, auto exchange) {
                  exchange->Send({.content_type = "text/plain", .body = "hello"});
                }});
    routes.Add({.method = "POST", .path = "/echo", .name = "echo", .handler = [](HttpRequest request, auto exchange) {
                  exchange->Send({.body = request.body});
                }});
    routes.Add({.method = "GET", .path = "/below/", .name = "below", .handler = [](HttpRequest request, auto exchange) {
                  exchange->Send({.body = request.rest});
                }});
    routes.Add({.method = "GET", .path = "/never", .name = "never", .handler = [this](HttpRequest, auto exchange) {
                  exchange->OnGone([this, exchange] { ++gone_; });
                }});
    routes.Add({.method = "GET", .path = "/flood", .name = "flood", .handler = [this](HttpRequest, auto exchange) {
                  exchange->OnGone([this] { ++gone_; });
                  exchange->BeginEvents();
                  for (int i = 0; i < 400; ++i) exchange->Event(std::string(4000, 'x'));
                  exchange->Flush();
                }});
    routes.Add({.method = "GET", .path = "/long", .name = "long", .handler = [](HttpRequest, auto exchange) {
                  exchange->BeginEvents();
                  for (int i = 0; i < 100; ++i) exchange->Event(std::string(10'000, 'x'));
                  exchange->Flush();
                  exchange->Event("last");
                  exchange->EndEvents();
                }});
    routes.Add({.method = "GET", .path = "/events", .name = "events", .handler = [](HttpRequest, auto exchange) {
                  exchange->BeginEvents();
                  exchange->Event("1");
                  exchange->Flush();
                  exchange->Post([exchange] {
                    exchange->Event("2");
                    exchange->EndEvents();
                  });
                }});
    routes.Add({.method = "GET", .path = "/silent", .name = "silent", .handler = [](HttpRequest, auto exchange) {
                  exchange->BeginEvents();
                  exchange->Event("1");
                  exchange->Flush();
                  exchange->OnGone([exchange] {});
                }});
    routes.Add({.method = "POST", .path = "/act", .name = "act", .takes_json = false, .handler = [](HttpRequest, auto exchange) {
                  exchange->Send({.status = 204, .content_type = ""});
                }});
    return routes;
  }

  std::string Ask(std::string_view bytes) { return LoopbackClient(server_->port()).Ask(bytes); }

  void ExpectSoon(const std::function<bool()>& condition) {
    for (int i = 0; i < 500 && !condition(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_TRUE(condition());
  }

  std::unique_ptr<HttpServer> server_;
  std::atomic<int> gone_{0};
};

constexpr char kGet[] = "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n";
constexpr char kLast[] = "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

std::string Post(std::string_view headers, std::string_view body) {
  std::string out = "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
  return out.append(headers).append("\r\n").append(body);
}

TEST_F(HttpServerTest, AnswersAndKeepsTheConnection) {
  LoopbackClient client(server_->port());
  for (int i = 0; i < 3; ++i) {
    client.Send(kGet);
    const std::string response = client.ReadResponse();
    EXPECT_EQ(StatusOf(response), 200);
    EXPECT_EQ(BodyOf(response), "hello");
  }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
  LoopbackClient client(server_->port());
  const std::string post = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n";
  client.Send(absl::StrCat(post, "one", kGet, post, "two"));
  client.CloseSending();
  EXPECT_EQ(BodyOf(client.ReadResponse()), "one");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "hello");
  EXPECT_EQ(BodyOf(client.ReadResponse()), "two");
  EXPECT_EQ(client.ReadAll(), "");
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpServerTest, ReadsARequestByteByByte) {
  LoopbackClient client(server_->port());
  for (char c : "\r\n" + Post("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", "2;x=y\r\nab\r\n1\r\nc\r\n0\r\nT: v\r\n\r\n")) {
    ASSERT_TRUE(client.Send(std::string_view(&c, 1)));
  }
  EXPECT_EQ(BodyOf(client.ReadAll()), "abc");
}

struct Refused {
  const char* name;
  std::string bytes;
  int status;
};

TEST_F(HttpServerTest, RefusesWhatTwoServersMightReadDifferently) {
  const std::string json = "Content-Type: application/json\r\n";
  const std::vector<Refused> table = {
      {"two lengths", Post(json + "Content-Length: 1\r\nContent-Length: 2\r\n", "ab"), 400},
      {"equal lengths", Post(json + "Content-Length: 2\r\nContent-Length: 2\r\n", "ab"), 400},
      {"list of lengths", Post(json + "Content-Length: 2, 2\r\n", "ab"), 400},
      {"signed length", Post(json + "Content-Length: +2\r\n", "ab"), 400},
      {"huge length", Post(json + "Content-Length: 99999999999999999999\r\n", "ab"), 400},
      {"length and coding", Post(json + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"other coding", Post(json + "Transfer-Encoding: gzip\r\n", ""), 400},
      {"two codings", Post(json + "Transfer-Encoding: gzip, chunked\r\n", ""), 400},
      {"coding twice", Post(json + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"coding in 1.0", "POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"space before colon", "GET /hello HTTP/1.1\r\nHost : h\r\n\r\n", 400},
      {"folding", "GET /hello HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
      {"bare CR", "GET /hello HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", 400},
      {"bare LF", "GET /hello HTTP/1.1\nHost: h\n\n", 400},
      {"NUL", std::string("GET /hello HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", 40), 400},
      {"control byte", "GET /hello HTTP/1.1\r\nHost: h\r\nX: a\x01\r\n\r\n", 400},
      {"no host", "GET /hello HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET /hello HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
      {"bad host", "GET /hello HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"no version", "GET /hello\r\nHost: h\r\n\r\n", 400},
      {"other version", "GET /hello HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"odd version", "GET /hello HTTP/1.x\r\nHost: h\r\n\r\n", 400},
      {"spaces", "GET  /hello HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"no path", "GET hello HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"broken escape", "GET /%4 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"escaped NUL", "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"bad chunk size", Post(json + "Transfer-Encoding: chunked\r\n", "x\r\n"), 400},
      {"no chunk size", Post(json + "Transfer-Encoding: chunked\r\n", "\r\n"), 400},
      {"chunk too long", Post(json + "Transfer-Encoding: chunked\r\n", "1\r\nabc\r\n"), 400},
      {"huge chunk size", Post(json + "Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"), 400},
      {"bare LF in chunk", Post(json + "Transfer-Encoding: chunked\r\n", "1\na\r\n"), 400},
      {"long extension", Post(json + "Transfer-Encoding: chunked\r\n", "1;" + std::string(9000, 'x') + "\r\n"), 400},
      {"long trailer", Post(json + "Transfer-Encoding: chunked\r\n", "0\r\nT: " + std::string(9000, 'x')), 400},
      {"other expectation", "GET /hello HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n", 417},
      {"long request line", "GET /" + std::string(9000, 'x') + " HTTP/1.1\r\nHost: h\r\n\r\n", 414},
      {"endless request line", "GET /" + std::string(9000, 'x'), 414},
      {"long headers", "GET /hello HTTP/1.1\r\nHost: h\r\nX: " + std::string(40000, 'x') + "\r\n\r\n", 431},
      {"endless headers", "GET /hello HTTP/1.1\r\nHost: h\r\nX: " + std::string(40000, 'x'), 431},
      {"no length", Post(json, ""), 411},
      {"declared too long", Post(json + "Content-Length: 99999999\r\n", ""), 413},
      {"chunk over the limit", Post(json + "Transfer-Encoding: chunked\r\n", "ffffff\r\n"), 413},
      {"no type", Post("Content-Length: 2\r\n", "{}"), 415},
      {"other type", Post("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}"), 415},
      {"other charset", Post("Content-Type: application/json; charset=latin1\r\nContent-Length: 2\r\n", "{}"), 415},
      {"encoded", Post(json + "Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}"), 415},
      {"bad timeout", "GET /below/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Request-Timeout-Ms: soon\r\n\r\n", 400},
      {"unknown path", "GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 404},
      {"wrong method", "DELETE /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 405},
  };
  for (const Refused& one : table) {
    const std::string response = Ask(one.bytes);
    EXPECT_EQ(StatusOf(response), one.status) << one.name << ": " << response;
    const auto body = ParseJson(BodyOf(response));
    ASSERT_TRUE(body.ok()) << one.name << ": " << response;
    for (const char* field : {"message", "type", "param", "code"}) EXPECT_TRUE((*body)["error"].contains(field)) << one.name;
    EXPECT_NE(response.find("X-Request-Id: "), std::string::npos);
  }
}

TEST_F(HttpServerTest, CountsHeaders) {
  std::string request = "GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
  for (int i = 0; i < 98; ++i) absl::StrAppend(&request, "X: ", i, "\r\n");
  EXPECT_EQ(StatusOf(Ask(request + "\r\n")), 200);
  EXPECT_EQ(StatusOf(Ask(request + "X: 99\r\n\r\n")), 431);
}

TEST_F(HttpServerTest, NamesAllowedMethods) {
  EXPECT_NE(Ask("PUT /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").find("Allow: GET, HEAD, OPTIONS\r\n"), std::string::npos);
  const std::string options = Ask("OPTIONS /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusOf(options), 204);
  EXPECT_NE(options.find("Allow: POST, OPTIONS\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  const std::string response = Ask("HEAD /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusOf(response), 200);
  EXPECT_NE(response.find("Content-Length: 5\r\n"), std::string::npos);
  EXPECT_EQ(BodyOf(response), "");
}

TEST_F(HttpServerTest, GivesRestsOfPathsDecoded) {
  EXPECT_EQ(BodyOf(Ask("GET /below/a/b%2Fc HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), "a/b/c");
}

TEST_F(HttpServerTest, EchoesWellFormedRequestIds) {
  const auto ask = [&](std::string_view id) {
    return Ask(std::string("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Request-Id: ").append(id).append("\r\n\r\n"));
  };
  EXPECT_NE(ask("abc-1").find("X-Request-Id: abc-1\r\n"), std::string::npos);
  EXPECT_EQ(ask("a b").find("X-Request-Id: a b\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, SpeaksHttp10) {
  const std::string response = Ask("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(BodyOf(response), "hello");
  EXPECT_EQ(BodyOf(Ask("GET /events HTTP/1.0\r\n\r\n")), "data: 1\n\ndata: 2\n\n");
}

TEST_F(HttpServerTest, StreamsEventsInChunksAndGoesOn) {
  LoopbackClient client(server_->port());
  client.Send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string response = client.ReadUntil("0\r\n\r\n");
  EXPECT_EQ(BodyOf(response), "9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n");
  client.Send(kLast);
  EXPECT_EQ(BodyOf(client.ReadAll()), "hello");
}

// What gathers while a write waits for the reader goes out behind it, however the reader's pace cuts that write.
TEST_F(HttpServerTest, WritesTheEndOfAStreamBehindAWriteThatHadToWait) {
  for (int round = 0; round < 40; ++round) {
    LoopbackClient client(server_->port());
    client.Send("GET /long HTTP/1.1\r\nHost: h\r\n\r\n");
    const std::string end = "data: last\n\n\r\n0\r\n\r\n";
    const std::string response = client.ReadUntil(end);
    ASSERT_EQ(response.substr(response.size() - std::min(response.size(), end.size())), end) << response.size() << " bytes, round " << round;
  }
}

TEST_F(HttpServerTest, SendsContinueWhenAsked) {
  LoopbackClient client(server_->port());
  client.Send(Post("Content-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n", ""));
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("ok");
  EXPECT_EQ(BodyOf(client.ReadAll()), "ok");
}

TEST_F(HttpServerTest, AsksForAKeyBeforeTheBody) {
  HttpConfig config;
  config.api_keys = {HashKey("secret"), HashKey("other")};
  Restart(std::move(config));
  const std::string refused = Ask(Post("Content-Type: application/json\r\nContent-Length: 100\r\n", ""));
  EXPECT_EQ(StatusOf(refused), 401);
  EXPECT_NE(refused.find("WWW-Authenticate: Bearer\r\n"), std::string::npos);
  EXPECT_NE(refused.find("invalid_api_key"), std::string::npos);
  const auto ask = [&](const char* authorization) {
    return StatusOf(Ask(Post(absl::StrCat("Authorization: ", authorization, "\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"), "{}")));
  };
  EXPECT_EQ(ask("Bearer secret"), 200);
  EXPECT_EQ(ask("bearer other"), 200);
  EXPECT_EQ(ask("Bearer secre"), 401);
  EXPECT_EQ(ask("Basic secret"), 401);
  EXPECT_EQ(StatusOf(Ask(kLast)), 200);
}

TEST_F(HttpServerTest, AllowsConfiguredOrigins) {
  HttpConfig config;
  config.cors.allowed_origins = {"https://a.example"};
  Restart(std::move(config));
  const auto ask = [&](const char* origin) {
    return Ask(absl::StrCat("OPTIONS /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: ", origin, "\r\n\r\n"));
  };
  EXPECT_NE(ask("https://a.example").find("Access-Control-Allow-Origin: https://a.example\r\n"), std::string::npos);
  EXPECT_EQ(ask("https://b.example").find("Access-Control"), std::string::npos);
}

TEST_F(HttpServerTest, TellsBrowsersWhatTheyMaySend) {
  HttpConfig config;
  config.cors.allowed_origins = {"*"};
  Restart(std::move(config));
  const std::string preflight = Ask("OPTIONS /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: https://a.example\r\n"
                                    "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,content-type\r\n\r\n");
  EXPECT_EQ(StatusOf(preflight), 204);
  for (const char* line : {"Access-Control-Allow-Origin: *\r\n", "Access-Control-Allow-Methods: POST, OPTIONS\r\n",
                           "Access-Control-Allow-Headers: authorization,content-type\r\n", "Access-Control-Max-Age: 600\r\n"}) {
    EXPECT_NE(preflight.find(line), std::string::npos) << line << preflight;
  }
  const std::string answer = Ask("GET /hello HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: https://a.example\r\n\r\n");
  EXPECT_NE(answer.find("Access-Control-Expose-Headers: X-Request-Id, Retry-After\r\n"), std::string::npos);
}

TEST_F(HttpServerTest, NamesTheOriginBesideCredentials) {
  HttpConfig config;
  config.cors.allowed_origins = {"https://a.example"};
  config.cors.allow_credentials = true;
  config.cors.allowed_headers = "X-One";
  config.cors.allowed_methods = "GET";
  Restart(std::move(config));
  const std::string preflight = Ask("OPTIONS /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: https://a.example\r\n"
                                    "Access-Control-Request-Headers: x-two\r\n\r\n");
  for (const char* line : {"Access-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\n", "Access-Control-Allow-Credentials: true\r\n",
                           "Access-Control-Allow-Methods: GET\r\n", "Access-Control-Allow-Headers: X-One\r\n"}) {
    EXPECT_NE(preflight.find(line), std::string::npos) << line << preflight;
  }
}

TEST_F(HttpServerTest, TakesAKeyAsAnthropicsClientsSendIt) {
  HttpConfig config;
  config.api_keys = {HashKey("secret")};
  Restart(std::move(config));
  const auto ask = [&](const char* header) {
    return StatusOf(Ask(absl::StrCat("GET /below/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", header, "\r\n\r\n")));
  };
  EXPECT_EQ(ask("x-api-key: secret"), 200);
  EXPECT_EQ(ask("x-api-key: Bearer secret"), 401);
  EXPECT_EQ(ask("X: y"), 401);
}

TEST_F(HttpServerTest, TakesOtherKeysWhileItRuns) {
  HttpConfig config;
  config.api_keys = {HashKey("old")};
  Restart(std::move(config));
  const auto ask = [&](const char* key) {
    return StatusOf(Ask(absl::StrCat("GET /below/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer ", key, "\r\n\r\n")));
  };
  EXPECT_EQ(ask("old"), 200);
  server_->SetApiKeys({HashKey("new")});
  EXPECT_EQ(ask("old"), 401);
  EXPECT_EQ(ask("new"), 200);
}

TEST_F(HttpServerTest, CompressesLargeAnswersForThoseWhoCanReadThem) {
  const auto ask = [&](size_t size, const char* header) {
    return Ask(Post(absl::StrCat(header, "Content-Type: application/json\r\nContent-Length: ", size, "\r\n"), std::string(size, 'x')));
  };
  const std::string large = ask(5000, "Accept-Encoding: br, gzip\r\n");
  EXPECT_NE(large.find("Content-Encoding: gzip\r\n"), std::string::npos);
  EXPECT_NE(large.find("Vary: Accept-Encoding\r\n"), std::string::npos);
  EXPECT_LT(large.size(), 1000u);
  EXPECT_EQ(BodyOf(large).substr(0, 2), "\x1f\x8b");
  EXPECT_NE(large.find(absl::StrCat("Content-Length: ", BodyOf(large).size(), "\r\n")), std::string::npos);
  const std::string plain = ask(5000, "Accept-Encoding: gzip;q=0, *\r\n");
  EXPECT_EQ(BodyOf(plain), std::string(5000, 'x'));
  EXPECT_NE(plain.find("Vary: Accept-Encoding\r\n"), std::string::npos);
  EXPECT_EQ(BodyOf(ask(1023, "Accept-Encoding: gzip\r\n")), std::string(1023, 'x'));
  EXPECT_EQ(BodyOf(Ask("GET /events HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")), "data: 1\n\ndata: 2\n\n");
}

TEST_F(HttpServerTest, KeepsSilentStreamsAlive) {
  HttpConfig config;
  config.limits.keep_alive_ms = 100;
  Restart(std::move(config));
  LoopbackClient client(server_->port());
  client.Send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(client.ReadUntil("8\r\n: ping\n\n\r\n").find("data: 1\n\n"), std::string::npos);
  EXPECT_EQ(client.ReadUntil("\n\n\r\n"), "8\r\n: ping\n\n\r\n");
}

TEST_F(HttpServerTest, NeedsNoBodyWhereNoneIsRead) {
  EXPECT_EQ(StatusOf(Ask("POST /act HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")), 204);
  EXPECT_EQ(StatusOf(Ask("POST /act HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")), 204);
  EXPECT_EQ(StatusOf(Ask("POST /act HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")), 415);
}

TEST_F(HttpServerTest, TimesOutSlowClients) {
  HttpConfig config;
  config.limits.header_timeout_ms = 200;
  config.limits.body_gap_timeout_ms = 200;
  config.limits.idle_timeout_ms = 200;
  Restart(std::move(config));
  EXPECT_EQ(StatusOf(Ask("GET /hello HTTP/1.1\r\nHo")), 408);
  EXPECT_EQ(StatusOf(Ask(Post("Content-Type: application/json\r\nContent-Length: 5\r\n", "ab"))), 408);
  EXPECT_EQ(Ask(""), "");  // idle: closed without a word
}

// A client that dribbles never lets the gap grow.
TEST_F(HttpServerTest, ABodyHasItsTimeAsAWhole) {
  HttpConfig config;
  config.limits.body_timeout_ms = 300;
  Restart(std::move(config));
  LoopbackClient client(server_->port(), 20);
  client.Send(Post("Content-Type: application/json\r\nContent-Length: 100000\r\n", ""));
  std::string response;
  for (int i = 0; i < 5000 && response.empty(); ++i) {
    client.Send("a");
    response = client.ReadResponse();
  }
  EXPECT_EQ(StatusOf(response), 408);
}

// Takes every descriptor that the process may still have, and gives them back when it dies.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &old_);
    taken_.push_back(::dup(0));
    const rlimit low{static_cast<rlim_t>(taken_[0]) + 1, old_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = ::dup(0); fd >= 0; fd = ::dup(0)) taken_.push_back(fd);
  }
  ~NoDescriptors() {
    for (const int fd : taken_) ::close(fd);
    ::setrlimit(RLIMIT_NOFILE, &old_);
  }

 private:
  rlimit old_{};
  std::vector<int> taken_;
};

TEST_F(HttpServerTest, LivesOnWithoutDescriptors) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "UBSan opens a pipe to look at an object's type";
#endif
  LoopbackClient open(server_->port());
  const int late = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ExpectSoon([&] { return server_->Connections() == 1; });
  {
    const NoDescriptors none;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(late, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);  // the kernel's: nobody accepts it
    for (int i = 0; i < 3; ++i) {
      open.Send(kGet);
      EXPECT_EQ(StatusOf(open.ReadResponse()), 200);
      std::this_thread::sleep_for(std::chrono::milliseconds(60));
    }
    EXPECT_EQ(server_->Connections(), 1);
  }
  ExpectSoon([&] { return server_->Connections() == 2; });
  EXPECT_EQ(StatusOf(Ask(kLast)), 200);
  ::close(late);
}

TEST_F(HttpServerTest, TellsHandlersThatTheClientIsGone) {
  LoopbackClient client(server_->port());
  client.Send("GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(gone_, 0);
  client.Close();
  ExpectSoon([&] { return gone_ == 1; });
  ExpectSoon([&] { return server_->Connections() == 0; });
}

TEST_F(HttpServerTest, CancelsReadersWhoDoNotRead) {
  HttpConfig config;
  config.limits.unread_timeout_ms = 300;
  Restart(std::move(config));
  LoopbackClient client(server_->port(), 5000, 4096);
  client.Send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  ExpectSoon([&] { return gone_ == 1; });
}

TEST_F(HttpServerTest, RefusesConnectionsPastTheLimit) {
  HttpConfig config;
  config.limits.max_connections = 2;
  Restart(std::move(config));
  LoopbackClient a(server_->port()), b(server_->port());
  a.Send(kGet);
  b.Send(kGet);
  EXPECT_EQ(StatusOf(a.ReadResponse()), 200);
  EXPECT_EQ(StatusOf(b.ReadResponse()), 200);
  EXPECT_EQ(StatusOf(LoopbackClient(server_->port()).ReadAll()), 503);
  a.Close();
  ExpectSoon([&] { return server_->Connections() == 1; });
  EXPECT_EQ(StatusOf(Ask(kLast)), 200);
}

TEST_F(HttpServerTest, ClosesConnectionsWhenItStopsListening) {
  LoopbackClient idle(server_->port()), busy(server_->port());
  idle.Send(kGet);
  idle.ReadResponse();
  busy.Send("GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  server_->StopListening();
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_FALSE(LoopbackClient(server_->port()).connected());
  EXPECT_EQ(gone_, 0);
  server_.reset();
  EXPECT_EQ(gone_, 1);
}

TEST_F(HttpServerTest, AnswersOrClosesForAnyBytes) {
  HttpConfig config;
  config.limits.header_timeout_ms = config.limits.body_gap_timeout_ms = 100;
  Restart(std::move(config));
  const std::vector<std::string> seeds = {kLast, Post("Content-Type: application/json\r\nContent-Length: 2\r\n", "{}"),
                                          Post("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n")};
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string bytes = seeds[round % seeds.size()];
    for (int edit = 0; edit < 1 + round % 4; ++edit) {
      const size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0: bytes[at] = static_cast<char>(random()); break;
        case 1: bytes.erase(at, 1 + random() % 4); break;
        case 2: bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 20)); break;
        default: bytes.insert(at, 1, "\r\n\0: ;,"[random() % 7]);
      }
      if (bytes.empty()) bytes.push_back('x');
    }
    LoopbackClient client(server_->port());
    client.Send(bytes);
    client.CloseSending();
    const std::string response = client.ReadAll();
    EXPECT_TRUE(response.empty() || StatusOf(response) >= 100) << response;
  }
  EXPECT_EQ(StatusOf(Ask(kLast)), 200);
}

}  // namespace
}  // namespace braid
