// Responses that are kept: fetched, listed, cancelled and deleted by their id.
#pragma once

#include "server/http/route_table.h"
#include "server/serving.h"

namespace braid {

// Adds what lies below /v1/responses/; `serving` must outlive the routes.
void AddStoredRoutes(Serving* serving, RouteTable& routes);

}  // namespace braid
