// Accept loop and io threads.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "server/http/http_config.h"
#include "server/http/route_table.h"

namespace braid {

class HttpListener;

// Thread: any, one at a time.
class HttpServer {
 public:
  // Listens and serves `routes` until it dies. InvalidArgument for an address that is none, Unavailable when it is taken.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(HttpConfig config, RouteTable routes);
  // Closes every connection (their calls are cancelled) and joins the io threads.
  ~HttpServer();

  uint16_t port() const;

  // Refuses new connections and closes each one after the answer under way.
  void StopListening();

  // Connections that are open.
  int Connections() const;

 private:
  explicit HttpServer(std::unique_ptr<HttpListener> listener);
  const std::unique_ptr<HttpListener> listener_;
};

}  // namespace braid
