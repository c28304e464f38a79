// One HTTP/1.1 request to a worker, on a connection of its own.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace braid {

struct HttpCallRequest {
  std::string address;                 // IP:PORT; IPv6 in brackets
  std::string method = "GET";
  std::string target;                  // path and query
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::chrono::milliseconds connect_limit{2000};
  std::chrono::milliseconds whole_limit{0};  // of everything; 0: none, a dead host is noticed by TCP
};

struct HttpCallHead {
  int status = 0;
  std::string content_type;
  std::string retry_after;
};

// Called one after another on the threads of the io_context. `end` is the last: OK when the answer came whole.
struct HttpCallSink {
  std::function<void(HttpCallHead)> head;
  std::function<void(std::string_view)> body;
  std::function<void(absl::Status)> end;
};

// Returns what ends the call before its time: then nothing more is called, but for what is under way.
std::function<void()> StartHttpCall(boost::asio::io_context& io, HttpCallRequest request, HttpCallSink sink);

// "10.0.0.1:80" or "[::1]:80"; InvalidArgument when it is neither.
absl::Status ReadEndpoint(const std::string& address, boost::asio::ip::tcp::endpoint* endpoint);

}  // namespace braid
