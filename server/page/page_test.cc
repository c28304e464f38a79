#include "server/page/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "server/http/http_server.h"
#include "server/http/loopback_client.h"

namespace braid {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string PageText() { return {reinterpret_cast<const char*>(kPageBytes), kPageSize}; }

TEST(Page, TheBinaryHoldsTheFile) {
  std::ifstream file(BRAID_SOURCE_DIR "/server/page/page.html", std::ios::binary);
  EXPECT_EQ(PageText(), std::string(std::istreambuf_iterator<char>(file), {}));
}

TEST(Page, NeedsNothingFromElsewhere) {
  for (const char* foreign : {"src=", "@import", "url(", "<link rel=\"stylesheet", "innerHTML", "outerHTML",
                              "insertAdjacentHTML", "document.write", "eval(", " style=\"", " onclick="}) {
    EXPECT_THAT(PageText(), Not(HasSubstr(foreign)));
  }
}

TEST(Page, ThePolicyAllowsOnlyWhatThePageHolds) {
  // printf %s 'alert(1)' | openssl dgst -sha256 -binary | base64
  EXPECT_EQ(PolicyOf("<script>alert(1)</script>"),
            "default-src 'none'; script-src 'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='; style-src 'none'; "
            "connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  EXPECT_THAT(PolicyOf(PageText()), Not(HasSubstr("-src 'none'; style")));
}

TEST(Page, IsServedOpenWithItsPolicy) {
  RouteTable routes;
  routes.Add(PageRoute());
  auto server = HttpServer::Start({.address = "127.0.0.1", .port = 0, .io_threads = 1, .api_keys = {HashKey("k")}},
                                  std::move(routes));
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string answer =
      LoopbackClient((*server)->port()).Ask("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(StatusOf(answer), 200);
  EXPECT_EQ(BodyOf(answer), PageText());
  EXPECT_THAT(answer, HasSubstr("Content-Security-Policy: " + PolicyOf(PageText()) + "\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/html; charset=utf-8\r\n"));
}

}  // namespace
}  // namespace braid
