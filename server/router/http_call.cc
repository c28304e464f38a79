#include "server/router/http_call.h"

#include <netinet/tcp.h>

#include <array>
#include <boost/asio/strand.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/address.h"

namespace braid {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr uint32_t kMaxHeadBytes = 64 << 10;
constexpr int kIdleS = 5, kIntervalS = 2, kProbes = 3, kUnackedMs = 10'000;  // a host that is gone is found by then

absl::Status Gone(const std::string& address, const char* what, const error_code& error) {
  return absl::UnavailableError(absl::StrCat(address, ": ", what, ": ", error.message()));
}

void WatchForDeath(asio::ip::tcp::socket& socket) {
  const int fd = socket.native_handle(), on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kIdleS, sizeof kIdleS);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kIntervalS, sizeof kIntervalS);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kProbes, sizeof kProbes);
  ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &kUnackedMs, sizeof kUnackedMs);
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// Thread: its strand.
class HttpCall : public std::enable_shared_from_this<HttpCall> {
 public:
  HttpCall(asio::io_context& io, HttpCallRequest request, HttpCallSink sink)
      : request_(std::move(request)), sink_(std::move(sink)), stream_(asio::make_strand(io)), limit_(stream_.get_executor()) {}

  void Start() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] { self->Connect(); });
  }
  void CallOff() {
    asio::post(stream_.get_executor(), [self = shared_from_this()] {
      self->over_ = true;
      self->Close();
    });
  }

 private:
  void Connect() {
    asio::ip::tcp::endpoint endpoint;
    if (const absl::Status status = ReadEndpoint(request_.address, &endpoint); !status.ok()) return End(status);
    if (request_.whole_limit.count() > 0) {
      limit_.expires_after(request_.whole_limit);
      limit_.async_wait([self = shared_from_this()](const error_code& error) {
        if (!error) self->End(absl::DeadlineExceededError(absl::StrCat(self->request_.address, ": no answer in time")));
      });
    }
    stream_.expires_after(request_.connect_limit);
    stream_.async_connect(endpoint, [self = shared_from_this()](const error_code& error) {
      if (error) return self->End(Gone(self->request_.address, "cannot connect", error));
      self->stream_.expires_never();
      WatchForDeath(self->stream_.socket());
      self->Write();
    });
  }

  void Write() {
    bytes_ = absl::StrCat(request_.method, " ", request_.target, " HTTP/1.1\r\nHost: ", request_.address, "\r\nConnection: close\r\n");
    for (const auto& [name, value] : request_.headers) absl::StrAppend(&bytes_, name, ": ", value, "\r\n");
    if (request_.method != "GET") absl::StrAppend(&bytes_, "Content-Length: ", request_.body.size(), "\r\n");
    absl::StrAppend(&bytes_, "\r\n", request_.body);
    asio::async_write(stream_, asio::buffer(bytes_), [self = shared_from_this()](const error_code& error, size_t) {
      // A worker may answer before it has read all: what it says counts for more than our failure.
      (void)error;
      self->ReadHead();
    });
  }

  void ReadHead() {
    parser_.emplace();
    parser_->header_limit(kMaxHeadBytes);
    parser_->body_limit(std::numeric_limits<uint64_t>::max());  // whoever takes it bounds it
    http::async_read_header(stream_, buffer_, *parser_, [self = shared_from_this()](const error_code& error, size_t) {
      if (error) return self->End(Gone(self->request_.address, "no answer", error));
      const auto& head = self->parser_->get();
      const auto text = [&](const auto& name) { return std::string(head[name].data(), head[name].size()); };
      if (!self->over_) {
        self->sink_.head({static_cast<int>(head.result_int()), text(http::field::content_type), text(http::field::retry_after)});
      }
      self->ReadBody();
    });
  }

  void ReadBody() {
    if (over_) return;
    if (parser_->is_done()) return End(absl::OkStatus());
    auto& body = parser_->get().body();
    body.data = piece_.data();
    body.size = piece_.size();
    http::async_read_some(stream_, buffer_, *parser_, [self = shared_from_this()](error_code error, size_t) {
      if (error == http::error::need_buffer) error = {};
      const size_t got = self->piece_.size() - self->parser_->get().body().size;
      if (got > 0 && !self->over_) self->sink_.body({self->piece_.data(), got});
      if (error) return self->End(Gone(self->request_.address, "the answer was cut short", error));
      self->ReadBody();
    });
  }

  void End(const absl::Status& status) {
    if (!std::exchange(over_, true)) sink_.end(status);
    Close();
  }

  void Close() {
    limit_.cancel();
    stream_.close();
    sink_ = {};
  }

  const HttpCallRequest request_;
  HttpCallSink sink_;
  beast::tcp_stream stream_;
  asio::steady_timer limit_;
  std::string bytes_;
  beast::flat_buffer buffer_;
  std::optional<http::response_parser<http::buffer_body>> parser_;
  std::array<char, 16384> piece_;
  bool over_ = false;
};

}  // namespace

absl::Status ReadEndpoint(const std::string& address, asio::ip::tcp::endpoint* endpoint) {
  ASSIGN_OR_RETURN(const Address parsed, ParseAddress(address));
  error_code error;
  const asio::ip::address ip = asio::ip::make_address(parsed.host, error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not IP:PORT"));
  *endpoint = {ip, static_cast<uint16_t>(parsed.port)};
  return absl::OkStatus();
}

std::function<void()> StartHttpCall(asio::io_context& io, HttpCallRequest request, HttpCallSink sink) {
  auto call = std::make_shared<HttpCall>(io, std::move(request), std::move(sink));
  call->Start();
  return [call] { call->CallOff(); };
}

}  // namespace braid
