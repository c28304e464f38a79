// What operators ask of a running daemon, on a port of its own.
#pragma once

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "kernels/base/json.h"
#include "server/http/route_table.h"

namespace braid {

// Called on the admin port's thread.
struct AdminRoutesConfig {
  std::function<Json()> server_info;                 // GET /server_info
  std::function<int()> load;                         // GET /load
  std::function<std::string()> metrics;              // GET /metrics
  std::function<absl::Status()> reset_prefix_cache;  // POST /reset_prefix_cache; empty: no such route
};

// Requests that a browser sends for some web page are refused: they carry the header Origin.
RouteTable MakeAdminRoutes(AdminRoutesConfig config);

}  // namespace braid
