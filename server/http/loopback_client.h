// A client of raw bytes for tests.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

#include <cstdint>
#include <string>
#include <string_view>

namespace braid {

// One connection to the loopback; reads give up after `timeout_ms`. Thread: one.
class LoopbackClient {
 public:
  explicit LoopbackClient(uint16_t port, int timeout_ms = 5000, int receive_buffer = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval limit{timeout_ms / 1000, timeout_ms % 1000 * 1000};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~LoopbackClient() { Close(); }
  LoopbackClient(const LoopbackClient&) = delete;

  bool connected() const { return connected_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void CloseSending() { ::shutdown(fd_, SHUT_WR); }

  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  // Reads until `end` was seen, the peer closed or the time is over; returns everything up to then.
  std::string ReadUntil(std::string_view end) {
    while (end.empty() || kept_.find(end) == std::string::npos) {
      if (!ReadMore()) return std::exchange(kept_, {});
    }
    const size_t size = kept_.find(end) + end.size();
    std::string out = kept_.substr(0, size);
    kept_.erase(0, size);
    return out;
  }
  std::string ReadAll() { return ReadUntil({}); }
  bool closed() const { return closed_; }

  // One response with Content-Length: head and body.
  std::string ReadResponse() {
    std::string out = ReadUntil("\r\n\r\n");
    const size_t at = out.find("Content-Length: ");
    if (at == std::string::npos) return out;
    const size_t length = std::stoul(out.substr(at + 16));
    while (kept_.size() < length && ReadMore()) {
    }
    out += kept_.substr(0, length);
    kept_.erase(0, length);
    return out;
  }

  // Sends and reads all until the peer closes.
  std::string Ask(std::string_view bytes) {
    Send(bytes);
    return ReadAll();
  }

 private:
  bool ReadMore() {
    char piece[16384];
    const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
    if (n <= 0) {
      closed_ = n == 0 || (n < 0 && errno != EAGAIN);
      return false;
    }
    kept_.append(piece, static_cast<size_t>(n));
    return true;
  }

  int fd_ = -1;
  bool connected_ = false, closed_ = false;
  std::string kept_;
};

// The status of a response; 0 when it is none.
inline int StatusOf(std::string_view response) {
  if (response.substr(0, 9) != "HTTP/1.1 " || response.size() < 12) return 0;
  return std::stoi(std::string(response.substr(9, 3)));
}

// What is behind the head.
inline std::string BodyOf(const std::string& response) {
  const size_t at = response.find("\r\n\r\n");
  return at == std::string::npos ? "" : response.substr(at + 4);
}

}  // namespace braid
