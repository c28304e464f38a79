// The HTTP routes: the OpenAI surface, tokenize and its kin, health and metrics.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "server/http/route_table.h"
#include "server/serving.h"

namespace braid {

struct RoutesConfig {
  std::string version;
  std::function<std::string()> metrics;  // text of GET /metrics; empty: no such route
  std::function<bool()> live;            // the process loop turns; empty: always
  std::function<std::string()> worker;   // JSON of GET /worker, for routers; empty: no such route
  // The peer that a request's x-braid-prefill names, or why it may not; empty: the header is not looked at.
  std::function<absl::StatusOr<std::string>(std::string_view header)> prefill_peer;
};

// Returns all routes; `serving` must outlive them.
RouteTable MakeRoutes(Serving* serving, RoutesConfig config);

}  // namespace braid
