// The HTTP routes: the OpenAI surface, tokenize and its kin, health and metrics.
#pragma once

#include <functional>
#include <string>

#include "server/http/route_table.h"
#include "server/serving.h"

namespace braid {

struct RoutesConfig {
  std::string version;
  std::function<std::string()> metrics;  // text of GET /metrics; empty: no such route
  std::function<bool()> live;            // the process loop turns; empty: always
};

// Returns all routes; `serving` must outlive them.
RouteTable MakeRoutes(Serving* serving, RoutesConfig config);

}  // namespace braid
