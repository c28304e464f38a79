// One keep-alive HTTP/1.1 connection to the server under load.
#pragma once

#include <utility>  // boost/asio/awaitable.hpp needs it and does not say so

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace braid::bench {

struct Endpoint {
  std::string host;
  std::string port;
};

// Reads "http://host[:port]"; a path or another scheme is an error.
absl::StatusOr<Endpoint> ParseUrl(std::string_view url);

struct HttpRequest {
  std::string method = "GET";
  std::string target;
  std::string body;     // sent as application/json when not empty
  std::string api_key;  // sent as a bearer token when not empty
};

// Thread: its io_context's. One request at a time.
class HttpConnection {
 public:
  HttpConnection(boost::asio::io_context& io, Endpoint endpoint);
  ~HttpConnection();

  // Sends `request`, connecting when need be, and gives each piece of the reply's body to `on_body` as it comes.
  // Returns the HTTP status; DeadlineExceeded past `limit`; Unavailable when the connection breaks.
  boost::asio::awaitable<absl::StatusOr<int>> Exchange(const HttpRequest& request, std::chrono::nanoseconds limit,
                                                       const std::function<void(std::string_view)>& on_body);

 private:
  struct Socket;
  boost::asio::awaitable<absl::Status> Connect();
  boost::asio::awaitable<absl::Status> Send(const HttpRequest& request);
  boost::asio::awaitable<absl::StatusOr<int>> Receive(const std::function<void(std::string_view)>& on_body);
  void Close();

  Endpoint endpoint_;
  std::unique_ptr<Socket> socket_;
};

}  // namespace braid::bench
