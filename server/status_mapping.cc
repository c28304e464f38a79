#include "server/status_mapping.h"

#include "absl/strings/cord.h"
#include "kernels/base/json.h"

namespace braid {
namespace {

constexpr char kParamUrl[] = "braid/param";
constexpr char kCodeUrl[] = "braid/code";

std::string PayloadOf(const absl::Status& status, const char* url) {
  const auto payload = status.GetPayload(url);
  return payload.has_value() ? std::string(*payload) : "";
}

std::string_view TypeOf(int http_status) {
  switch (http_status) {
    case 408: return "timeout_error";
    case 429: return "rate_limit_error";
    case 503: return "overloaded";
    default: return http_status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string Body(int http_status, std::string_view message, std::string_view param, std::string_view code) {
  Json error;
  error["message"] = message;
  error["type"] = TypeOf(http_status);
  error["param"] = param.empty() ? Json() : Json(param);
  error["code"] = code.empty() ? Json(http_status) : Json(code);
  return WriteJson(Json{{"error", std::move(error)}});
}

}  // namespace

absl::Status InvalidParam(std::string_view param, std::string_view message) {
  return WithDetails(absl::InvalidArgumentError(absl::string_view(message.data(), message.size())), param);
}

absl::Status WithDetails(absl::Status status, std::string_view param, std::string_view code) {
  if (!param.empty()) status.SetPayload(kParamUrl, absl::Cord(absl::string_view(param.data(), param.size())));
  if (!code.empty()) status.SetPayload(kCodeUrl, absl::Cord(absl::string_view(code.data(), code.size())));
  return status;
}

std::string ParamOf(const absl::Status& status) { return PayloadOf(status, kParamUrl); }
std::string CodeOf(const absl::Status& status) { return PayloadOf(status, kCodeUrl); }

int HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange: return 400;
    case absl::StatusCode::kUnauthenticated: return 401;
    case absl::StatusCode::kPermissionDenied: return 403;
    case absl::StatusCode::kNotFound: return 404;
    case absl::StatusCode::kDeadlineExceeded: return 408;
    case absl::StatusCode::kAlreadyExists: return 409;
    case absl::StatusCode::kResourceExhausted: return 429;
    case absl::StatusCode::kUnimplemented: return 501;
    case absl::StatusCode::kUnavailable: return 503;
    default: return 500;
  }
}

int RetryAfterSeconds(const absl::Status& status) {
  const int http_status = HttpStatusOf(status);
  return http_status == 503 || http_status == 429 ? 1 : 0;
}

std::string ErrorBody(const absl::Status& status) {
  const absl::string_view message = status.message();
  return Body(HttpStatusOf(status), {message.data(), message.size()}, ParamOf(status), CodeOf(status));
}

std::string ErrorBody(int http_status, std::string_view message, std::string_view code) {
  return Body(http_status, message, {}, code);
}

}  // namespace braid
