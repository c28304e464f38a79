// Method and path to handler.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/http/request_head.h"

namespace braid {

struct HttpRequest {
  RequestHead head;
  std::string rest;          // of the path, behind a route that ends with a slash
  std::string body;
  std::string request_id;    // the client's when it is well-formed, else a fresh one
  std::string api_key_id;    // empty when no keys are in use
  int64_t arrival_ns = 0;    // steady clock
  int64_t timeout_ms = 0;    // X-Request-Timeout-Ms; 0: none
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// One request's answer: Send, or BeginEvents, Event..., EndEvents. What comes after the connection is gone is dropped.
// Thread: the connection's (handlers are called there); tasks come back to it by Post.
class HttpExchange {
 public:
  virtual ~HttpExchange() = default;
  // Runs `task` on the connection's thread, after those posted before. Thread: any.
  virtual void Post(std::function<void()> task) = 0;
  // Answers as a whole.
  virtual void Send(HttpResponse response) = 0;
  // Answers as a stream of server-sent events.
  virtual void BeginEvents() = 0;
  // `type`: the name in its "event:" line; empty: no such line.
  virtual void Event(std::string_view data, std::string_view type = {}) = 0;
  virtual void Flush() = 0;
  // The stream is complete; the connection lives on.
  virtual void EndEvents() = 0;
  // The stream was cut short: writes what there is and closes the connection.
  virtual void BreakEvents() = 0;
  // `gone` is called once if the client hangs up, or does not read, before the answer is complete.
  virtual void OnGone(std::function<void()> gone) = 0;
};

using HttpHandler = std::function<void(HttpRequest request, std::shared_ptr<HttpExchange> exchange)>;

struct Route {
  std::string method;
  std::string path;         // with a slash at its end: everything below it
  std::string name;         // for metrics
  bool open = false;        // answered without a key
  bool takes_json = true;   // POST: a body is needed and must be JSON; false: none is needed
  HttpHandler handler;
  // The body of an error found before the handler is called; empty: as ErrorBody words it.
  std::function<std::string(int http_status, std::string_view message)> error_body;
};

// Filled before the server starts, immutable after.
class RouteTable {
 public:
  void Add(Route route) { routes_.push_back(std::move(route)); }

  struct Match {
    const Route* route = nullptr;
    std::string rest;    // of the path
    std::string allow;   // methods the path knows; empty: unknown path
  };
  // HEAD is answered by GET's route.
  Match Find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace braid
