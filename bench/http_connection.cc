#include "bench/http_connection.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <limits>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kernels/base/errors.h"

namespace braid::bench {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

absl::Status Broken(const char* step, error_code error) {
  if (error == beast::error::timeout) return absl::DeadlineExceededError("timeout");
  return absl::UnavailableError(absl::StrCat(step, ": ", error.message()));
}

}  // namespace

struct HttpConnection::Socket {
  explicit Socket(asio::io_context& io) : resolver(io), stream(io) {}
  asio::ip::tcp::resolver resolver;
  beast::tcp_stream stream;
  beast::flat_buffer buffer;
  bool connected = false;
};

absl::StatusOr<Endpoint> ParseUrl(std::string_view url) {
  absl::string_view rest(url.data(), url.size());
  const auto wrong = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat("--url: '", std::string(url), "': ", what));
  };
  if (!absl::ConsumePrefix(&rest, "http://")) return wrong("must begin with http://");
  absl::ConsumeSuffix(&rest, "/");
  if (rest.find('/') != absl::string_view::npos) return wrong("holds a path; give scheme, host and port only");
  Endpoint endpoint{std::string(rest), "80"};
  const size_t colon = rest.rfind(':');
  if (colon != absl::string_view::npos && rest.find(']', colon) == absl::string_view::npos) {
    endpoint = {std::string(rest.substr(0, colon)), std::string(rest.substr(colon + 1))};
  }
  if (endpoint.host.size() > 2 && endpoint.host.front() == '[') {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  }
  if (endpoint.host.empty() || endpoint.port.empty()) return wrong("host or port is empty");
  return endpoint;
}

HttpConnection::HttpConnection(asio::io_context& io, Endpoint endpoint)
    : endpoint_(std::move(endpoint)), socket_(std::make_unique<Socket>(io)) {}
HttpConnection::~HttpConnection() = default;

void HttpConnection::Close() {
  socket_->stream.close();
  socket_->buffer.clear();
  socket_->connected = false;
}

asio::awaitable<absl::Status> HttpConnection::Connect() {
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  const auto addresses = co_await socket_->resolver.async_resolve(endpoint_.host, endpoint_.port, token);
  if (error) co_return Broken("resolve", error);
  co_await socket_->stream.async_connect(addresses, token);
  if (error) co_return Broken("connect", error);
  socket_->stream.socket().set_option(asio::ip::tcp::no_delay(true), error);
  socket_->connected = true;
  co_return absl::OkStatus();
}

asio::awaitable<absl::Status> HttpConnection::Send(const HttpRequest& request) {
  http::request<http::string_body> message{http::string_to_verb(request.method), request.target, 11};
  message.set(http::field::host, endpoint_.host);
  if (!request.api_key.empty()) message.set(http::field::authorization, "Bearer " + request.api_key);
  if (!request.body.empty()) message.set(http::field::content_type, "application/json");
  message.body() = request.body;
  message.prepare_payload();
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_write(socket_->stream, message, token);
  co_return error ? Broken("send", error) : absl::OkStatus();
}

asio::awaitable<absl::StatusOr<int>> HttpConnection::Receive(const std::function<void(std::string_view)>& on_body) {
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(std::numeric_limits<uint64_t>::max());
  co_await http::async_read_header(socket_->stream, socket_->buffer, parser, token);
  if (error) co_return Broken("receive", error);
  std::string piece(16 << 10, '\0');
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    co_await http::async_read_some(socket_->stream, socket_->buffer, parser, token);
    if (error && error != http::error::need_buffer) co_return Broken("receive", error);
    on_body(std::string_view(piece.data(), piece.size() - parser.get().body().size));
  }
  if (!parser.get().keep_alive()) Close();
  co_return parser.get().result_int();
}

asio::awaitable<absl::StatusOr<int>> HttpConnection::Exchange(
    const HttpRequest& request, std::chrono::nanoseconds limit, const std::function<void(std::string_view)>& on_body) {
  socket_->stream.expires_after(limit);
  if (!socket_->connected) {
    const absl::Status connected = co_await Connect();
    if (!connected.ok()) co_return connected;
  }
  const absl::Status sent = co_await Send(request);
  if (!sent.ok()) {
    Close();
    co_return sent;
  }
  absl::StatusOr<int> status = co_await Receive(on_body);
  if (!status.ok()) Close();
  co_return status;
}

}  // namespace braid::bench
