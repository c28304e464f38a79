// The HTTP door's settings.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/http/api_keys.h"
#include "server/http/request_head.h"

namespace braid {

class TlsContext;

struct HttpLimits {
  int max_connections = 1024;
  HeadLimits head;
  size_t max_body_bytes = 8 << 20;
  size_t max_chunk_extra_bytes = 8 << 10;     // extensions and trailers of a chunked body
  int64_t header_timeout_ms = 15'000;         // from a request's first byte to its empty line; also: TLS's handshake
  int64_t body_gap_timeout_ms = 15'000;       // between two pieces of a body
  int64_t body_timeout_ms = 60'000;           // the whole body
  int64_t idle_timeout_ms = 75'000;           // between two requests
  size_t max_unread_bytes = 256 << 10;        // waiting for a slow reader ...
  int64_t unread_timeout_ms = 30'000;         // ... at most so long; also: no byte taken at all
  size_t max_pending_bytes = 8 << 20;         // of a stream, in any case
  int64_t keep_alive_ms = 0;                  // a stream that is silent for so long gets a comment; 0: never
  size_t min_gzip_bytes = 1 << 10;            // answers of these sizes are compressed where the client allows it:
  size_t max_gzip_bytes = 4 << 20;            // past the upper one it would hold up the thread's other connections
};

struct CorsConfig {
  std::vector<std::string> allowed_origins;   // "*": all; empty: none
  std::string allowed_methods = "*";
  std::string allowed_headers = "*";
  bool allow_credentials = false;
};

// One request that was answered.
struct HttpAccess {
  std::string_view handler;   // the route's name; "none" when no route was found
  std::string_view method;
  int status = 0;             // 499: the client went away
  double seconds = 0;
};

struct HttpConfig {
  std::string address = "0.0.0.0";
  uint16_t port = 8000;                       // 0: any free one
  int io_threads = 2;
  HttpLimits limits;
  CorsConfig cors;
  std::vector<KeyHash> api_keys;              // empty: everybody may call
  std::shared_ptr<TlsContext> tls;            // null: plain. Shared: replaced while the server runs
  std::function<void(const HttpAccess&)> on_access;  // any io thread; may be empty
};

}  // namespace braid
