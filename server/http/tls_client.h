// A client of TLS for tests.
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <string_view>

#include "absl/strings/numbers.h"

namespace braid {

// One connection to the loopback that trusts anybody; a read gives up after five seconds. Thread: one.
class TlsClient {
 public:
  explicit TlsClient(uint16_t port, int max_version = TLS1_3_VERSION, int min_version = 0, int receive_buffer = 0)
      : context_(boost::asio::ssl::context::tls_client), stream_(io_, context_) {
    boost::asio::ip::tcp::socket& socket = stream_.next_layer();
    socket.open(boost::asio::ip::tcp::v4());
    if (receive_buffer > 0) socket.set_option(boost::asio::socket_base::receive_buffer_size(receive_buffer));
    const timeval limit{5, 0};
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    socket.connect({boost::asio::ip::address_v4::loopback(), port}, error_);
    SSL_set_min_proto_version(ssl(), min_version);
    SSL_set_max_proto_version(ssl(), max_version);
    static constexpr unsigned char kOffer[] = "\x02h2\x08http/1.1";
    SSL_set_alpn_protos(ssl(), kOffer, sizeof kOffer - 1);
    if (!error_) stream_.handshake(boost::asio::ssl::stream_base::client, error_);
  }

  // The handshake went well.
  bool connected() const { return connected_error().empty(); }
  std::string connected_error() const { return error_ ? error_.message() : ""; }
  SSL* ssl() { return stream_.native_handle(); }
  boost::asio::ip::tcp::socket& socket() { return stream_.next_layer(); }

  std::string protocol() {
    const unsigned char* name = nullptr;
    unsigned int size = 0;
    SSL_get0_alpn_selected(ssl(), &name, &size);
    return {reinterpret_cast<const char*>(name), size};
  }
  // The name in the server's certificate.
  std::string server_name() {
    char name[64] = "";
    X509* certificate = SSL_get1_peer_certificate(ssl());
    if (certificate != nullptr)
      X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
    X509_free(certificate);
    return name;
  }

  bool Send(std::string_view bytes) {
    boost::system::error_code error;
    boost::asio::write(stream_, boost::asio::buffer(bytes.data(), bytes.size()), error);
    return !error;
  }
  std::string ReadUntil(std::string_view end) {
    while (end.empty() || kept_.find(end) == std::string::npos) {
      if (!ReadMore()) return std::exchange(kept_, {});
    }
    const size_t size = kept_.find(end) + end.size();
    std::string out = kept_.substr(0, size);
    kept_.erase(0, size);
    return out;
  }
  // One response with Content-Length.
  std::string ReadResponse() {
    std::string out = ReadUntil("\r\n\r\n");
    const size_t at = out.find("Content-Length: ");
    size_t length = 0;
    if (at == std::string::npos || !absl::SimpleAtoi(out.substr(at + 16, out.find("\r\n", at) - at - 16), &length))
      return out;
    while (kept_.size() < length && ReadMore()) {
    }
    out += kept_.substr(0, length);
    kept_.erase(0, length);
    return out;
  }
  std::string Ask(std::string_view bytes) {
    Send(bytes);
    return ReadUntil({});
  }
  // How the last read ended; eof: with TLS's own farewell.
  boost::system::error_code read_error() const { return read_error_; }

 private:
  bool ReadMore() {
    char piece[16384];
    const size_t n = stream_.read_some(boost::asio::buffer(piece), read_error_);
    kept_.append(piece, n);
    return n > 0;
  }

  boost::asio::io_context io_;
  boost::asio::ssl::context context_;
  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream_;
  boost::system::error_code error_, read_error_;
  std::string kept_;
};

}  // namespace braid
