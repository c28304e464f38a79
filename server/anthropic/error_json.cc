#include "server/anthropic/error_json.h"

#include "kernels/base/json.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

std::string_view TypeOf(int http_status) {
  switch (http_status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 408: return "timeout_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    default: return http_status >= 500 ? "api_error" : "invalid_request_error";
  }
}

}  // namespace

std::string MessagesErrorBody(int http_status, std::string_view message) {
  const Json error = {{"type", TypeOf(http_status)}, {"message", message}};
  return WriteJson(Json{{"type", "error"}, {"error", error}});
}

std::string MessagesErrorBody(const absl::Status& status) {
  const absl::string_view message = status.message();
  return MessagesErrorBody(HttpStatusOf(status), {message.data(), message.size()});
}

}  // namespace braid
