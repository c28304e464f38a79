// Bytes of a connection to requests and answers, in one piece and in many.
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <vector>

#include "server/http/http_session.h"
#include "tests/fuzz/input.h"

namespace braid {
namespace {

using boost::asio::ip::tcp;

// What the handlers were given, in order.
std::vector<std::string>* g_seen = nullptr;

void Answer(HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
  std::string seen = absl::StrCat(request.head.method, " ", request.head.path, "?", request.head.query, " ", request.rest);
  for (const auto& [name, value] : request.head.headers) absl::StrAppend(&seen, "\n", name, ": ", value);
  g_seen->push_back(seen + "\n\n" + request.body);
  if (request.head.path != "/stream") return exchange->Send({.body = request.body});
  exchange->BeginEvents();
  exchange->Event("one", "named");
  exchange->Flush();
  exchange->EndEvents();
}

HttpShared MakeShared() {
  HttpConfig config;
  config.limits.max_body_bytes = 2000;
  config.limits.max_chunk_extra_bytes = 100;
  config.limits.head = {.max_request_line_bytes = 300, .max_header_bytes = 2000, .max_headers = 20};
  config.cors.allowed_origins = {"http://a"};
  RouteTable routes;
  routes.Add({.method = "POST", .path = "/echo", .name = "echo", .handler = Answer});
  routes.Add({.method = "POST", .path = "/stream", .name = "stream", .takes_json = false, .handler = Answer});
  routes.Add({.method = "GET", .path = "/under/", .name = "under", .handler = Answer});
  return {std::move(config), std::move(routes)};
}

// The status lines of the answers, without "100 Continue", which depends on when the bytes came. So does which fault of
// bytes with several is told: it is the connection's last answer in any case.
std::string Statuses(std::string_view out) {
  std::string lines;
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  for (size_t at = out.find(kVersion); at != std::string_view::npos; at = out.find(kVersion, at + 1)) {
    const std::string_view code = out.substr(at + kVersion.size(), 3);
    const bool fault = code == "400" || code == "413" || code == "414" || code == "431" || code == "505";
    if (code != "100") lines.append(fault ? "fault" : code).append(" ");
  }
  return lines;
}

// One connection's life.
class Visit {
 public:
  explicit Visit(HttpShared* shared) {
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends_) == 0);
    tcp::socket socket(context_);
    socket.assign(tcp::v4(), ends_[0]);
    socket.non_blocking(true);
    std::make_shared<HttpSession>(std::move(socket), shared, &sessions_, &tasks_)->Start();
  }
  ~Visit() {
    ::close(ends_[1]);
    context_.poll();
    CHECK(sessions_.empty()) << "a connection outlives its client";
  }

  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(ends_[1], bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // it has closed
      bytes.remove_prefix(static_cast<size_t>(sent));
      Turn();
    }
  }
  std::string End() {
    ::shutdown(ends_[1], SHUT_WR);
    Turn();
    return out_;
  }

 private:
  void Turn() {
    char piece[16384];
    do {
      context_.restart();
      context_.poll();
      const ssize_t got = ::recv(ends_[1], piece, sizeof piece, 0);
      if (got <= 0) return;
      out_.append(piece, static_cast<size_t>(got));
    } while (true);
  }

  HttpSessions sessions_;
  boost::asio::io_context context_{1};
  TaskQueue tasks_{context_};
  int ends_[2];
  std::string out_;
};

}  // namespace
}  // namespace braid

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace braid;
  static HttpShared shared = MakeShared();
  const std::string_view bytes = fuzz::Text(data, size);
  std::vector<std::string> whole_seen, pieces_seen;
  std::string whole, pieces;
  {
    g_seen = &whole_seen;
    Visit visit(&shared);
    visit.Send(bytes);
    whole = Statuses(visit.End());
  }
  {
    g_seen = &pieces_seen;
    Visit visit(&shared);
    fuzz::InPieces(bytes, 9, [&](std::string_view piece) { visit.Send(piece); });
    pieces = Statuses(visit.End());
  }
  CHECK(whole == pieces) << "whole: " << whole << "pieces: " << pieces;
  CHECK(whole_seen == pieces_seen);
  return 0;
}
