// The bytes of one connection, plain or under TLS.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <optional>
#include <utility>

#include "server/http/tls_context.h"

namespace braid {

// One read and one write may be under way at once. Handlers keep it alive. Thread: its io thread.
class Connection {
 public:
  // `tls` null: plain.
  Connection(boost::asio::ip::tcp::socket socket, TlsContext* tls) : socket_(std::move(socket)) {
    if (tls != nullptr) tls_.emplace(socket_, tls->context());
  }

  Connection(const Connection&) = delete;

  bool secure() const { return tls_.has_value(); }
  auto executor() { return socket_.get_executor(); }
  boost::asio::ip::tcp::socket& socket() { return socket_; }

  // handler(error). Only where it is secure.
  template <class Handler>
  void Handshake(Handler handler) {
    tls_->async_handshake(boost::asio::ssl::stream_base::server, std::move(handler));
  }

  // handler(error, bytes).
  template <class Handler>
  void ReadSome(boost::asio::mutable_buffer buffer, Handler handler) {
    if (tls_.has_value() && !raw_) {
      tls_->async_read_some(buffer, std::move(handler));
    } else {
      socket_.async_read_some(buffer, std::move(handler));
    }
  }

  // Writes what the socket takes at once and returns how many bytes those were. Under TLS: none, for a record that is
  // written in part cannot be taken back.
  size_t WriteNow(boost::asio::const_buffer buffer, boost::system::error_code& error) {
    return tls_.has_value() ? 0 : socket_.write_some(boost::asio::const_buffers_1(buffer), error);
  }

  // handler(error, bytes).
  template <class Handler>
  void WriteSome(boost::asio::const_buffer buffer, Handler handler) {
    if (tls_.has_value()) {
      tls_->async_write_some(boost::asio::const_buffers_1(buffer), std::move(handler));
    } else {
      socket_.async_write_some(boost::asio::const_buffers_1(buffer), std::move(handler));
    }
  }

  // Tells the peer that nothing more comes; `keep` lives until it is told.
  template <class Keep>
  void CloseSending(Keep keep) {
    if (!tls_.has_value()) return ShutdownSocket();
    tls_->async_shutdown([this, keep](const boost::system::error_code&) { ShutdownSocket(); });
  }

  // A read failed with `error` after CloseSending. Returns whether reading may go on: TLS refuses data behind its
  // farewell, but what is not read from the socket would turn our last words into a reset.
  bool ReadOnRaw(const boost::system::error_code& error) {
    const bool first = tls_.has_value() && !raw_ && error.category() == boost::asio::error::get_ssl_category();
    raw_ |= first;
    return first;
  }

  void Close() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

 private:
  void ShutdownSocket() {
    boost::system::error_code ignored;
    socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  }

  boost::asio::ip::tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
  bool raw_ = false;  // reads pass TLS by
};

}  // namespace braid
