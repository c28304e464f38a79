// `braid route`: one door in front of many workers.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "server/http/http_server.h"
#include "server/router/health_poller.h"

namespace braid {

// Thread: main.
class Router {
 public:
  static absl::StatusOr<std::unique_ptr<Router>> Start(const RouterConfig& config);
  ~Router();

  // Serves until a signal comes and the answers under way are finished, or cut off at the drain's limit.
  static absl::Status Run(const RouterConfig& config);

  uint16_t port() const { return http_->port(); }
  const RouterParts& parts() const { return *parts_; }
  // New requests are refused; those under way have the configured time.
  void Drain();

 private:
  Router() = default;
  RouteTable Routes();

  std::unique_ptr<RouterParts> parts_;  // first: the others use it
  std::unique_ptr<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::vector<std::thread> threads_;
  std::unique_ptr<HealthPoller> poller_;
  std::unique_ptr<HttpServer> http_;
  std::atomic<bool> draining_{false};
};

}  // namespace braid
