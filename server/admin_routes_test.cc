#include "server/admin_routes.h"

#include "gtest/gtest.h"
#include "server/http/http_server.h"
#include "server/http/loopback_client.h"

namespace braid {
namespace {

class AdminTest : public testing::Test {
 protected:
  void Start(std::function<absl::Status()> reset, std::vector<KeyHash> keys = {}) {
    AdminRoutesConfig admin{.server_info =
                                [] {
                                  return Json{{"version", "1"}};
                                },
                            .load = [] { return 3; },
                            .metrics = [] { return "m 1\n"; },
                            .reset_prefix_cache = std::move(reset)};
    auto server = HttpServer::Start({.address = "127.0.0.1", .port = 0, .io_threads = 1, .api_keys = std::move(keys)},
                                    MakeAdminRoutes(std::move(admin)));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  std::string Ask(std::string line, std::string headers = "") {
    return LoopbackClient(server_->port())
        .Ask(line + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + headers + "\r\n");
  }
  std::unique_ptr<HttpServer> server_;
};

TEST_F(AdminTest, AnswersOperators) {
  int resets = 0;
  Start([&] { return ++resets, absl::OkStatus(); });
  EXPECT_EQ(BodyOf(Ask("GET /server_info")), R"({"version":"1"})");
  EXPECT_EQ(BodyOf(Ask("GET /load")), R"({"server_load":3})");
  EXPECT_EQ(BodyOf(Ask("GET /metrics")), "m 1\n");
  EXPECT_EQ(StatusOf(Ask("POST /reset_prefix_cache")), 200);
  EXPECT_EQ(resets, 1);
  EXPECT_EQ(StatusOf(Ask("GET /reset_prefix_cache")), 405);
}

TEST_F(AdminTest, WithoutAHookThereIsNoRoute) {
  Start(nullptr);
  EXPECT_EQ(StatusOf(Ask("POST /reset_prefix_cache")), 404);
}

TEST_F(AdminTest, SaysWhatFailed) {
  Start([] { return absl::UnavailableError("the model is loading"); });
  const std::string answer = Ask("POST /reset_prefix_cache");
  EXPECT_EQ(StatusOf(answer), 503);
  EXPECT_NE(answer.find("the model is loading"), std::string::npos);
}

TEST_F(AdminTest, RefusesWebPagesAndCallersWithoutAKey) {
  Start([] { return absl::OkStatus(); }, {HashKey("k")});
  EXPECT_EQ(StatusOf(Ask("GET /server_info")), 401);
  EXPECT_EQ(StatusOf(Ask("POST /reset_prefix_cache")), 401);
  EXPECT_EQ(StatusOf(Ask("GET /server_info", "Authorization: Bearer k\r\n")), 200);
  EXPECT_EQ(StatusOf(Ask("POST /reset_prefix_cache", "Authorization: Bearer k\r\nOrigin: http://a.example\r\n")), 403);
  EXPECT_EQ(StatusOf(Ask("GET /metrics")), 200);
}

}  // namespace
}  // namespace braid
