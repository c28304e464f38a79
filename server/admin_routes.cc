#include "server/admin_routes.h"

#include <memory>
#include <utility>

#include "server/metrics.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

HttpResponse AnswerOf(const absl::Status& status) {
  if (status.ok()) return {.content_type = "", .body = ""};
  return {.status = HttpStatusOf(status), .body = ErrorBody(status)};
}

HttpHandler Guarded(std::function<HttpResponse()> answer) {
  return [answer = std::move(answer)](HttpRequest request, std::shared_ptr<HttpExchange> exchange) {
    const bool foreign = request.head.Find("origin") != nullptr;
    exchange->Send(foreign ? AnswerOf(absl::PermissionDeniedError("web pages may not ask this")) : answer());
  };
}

}  // namespace

RouteTable MakeAdminRoutes(AdminRoutesConfig config) {
  RouteTable routes;
  const auto get = [&](const char* path, const char* name, bool open, std::function<HttpResponse()> answer) {
    routes.Add({.method = "GET", .path = path, .name = name, .open = open, .handler = Guarded(std::move(answer))});
  };
  get("/server_info", "server_info", false,
      [info = config.server_info] { return HttpResponse{.body = WriteJson(info())}; });
  get("/load", "load", true, [load = config.load] {
    return HttpResponse{.body = WriteJson(Json{{"server_load", load()}})};
  });
  get("/metrics", "metrics", true,
      [metrics = config.metrics] { return HttpResponse{.content_type = Metrics::kContentType, .body = metrics()}; });
  if (config.reset_prefix_cache) {
    routes.Add({.method = "POST",
                .path = "/reset_prefix_cache",
                .name = "reset_prefix_cache",
                .takes_json = false,
                .handler = Guarded([reset = config.reset_prefix_cache] { return AnswerOf(reset()); })});
  }
  return routes;
}

}  // namespace braid
