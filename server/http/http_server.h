// Accept loop and io threads.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

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

  // Other keys, or another certificate, from now on; what is under way goes on. A server that began with TLS keeps it.
  void SetApiKeys(std::vector<KeyHash> keys);
  void SetTls(std::shared_ptr<TlsContext> tls);

  // Connections that are open.
  int Connections() const;

 private:
  explicit HttpServer(std::unique_ptr<HttpListener> listener);
  const std::unique_ptr<HttpListener> listener_;
};

}  // namespace braid
