#include "server/http/cors.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace braid {
namespace {

// Header names with commas between, as a browser asks for them.
bool IsNameList(std::string_view names) {
  return !names.empty() && names.size() <= 1024 && std::all_of(names.begin(), names.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("-_, ").find(c) != std::string_view::npos;
  });
}

// For browsers * covers neither the header Authorization nor calls with credentials: what they ask for is named
// instead.
void AppendPreflight(const CorsConfig& config, const CorsRequest& request, const std::string& path_methods,
                     std::string* out) {
  const std::string& methods = config.allowed_methods == "*" ? path_methods : config.allowed_methods;
  if (!methods.empty()) absl::StrAppend(out, "Access-Control-Allow-Methods: ", methods, "\r\n");
  const bool echo = config.allowed_headers == "*" && IsNameList(request.asked_headers);
  absl::StrAppend(out, "Access-Control-Allow-Headers: ", echo ? request.asked_headers : config.allowed_headers, "\r\n",
                  echo ? "Vary: Access-Control-Request-Headers\r\n" : "", "Access-Control-Max-Age: 600\r\n");
}

}  // namespace

void AppendCors(const CorsConfig& config, const CorsRequest& request, const std::string* preflight_methods,
                std::string* out) {
  if (request.origin.empty()) return;
  const auto allows = [&](const std::string& origin) {
    return std::find(config.allowed_origins.begin(), config.allowed_origins.end(), origin) !=
           config.allowed_origins.end();
  };
  const bool all = allows("*"), named = allows(request.origin);
  if (!all && !named) return;
  const bool echo = named || config.allow_credentials;  // browsers take no * beside credentials
  absl::StrAppend(out, "Access-Control-Allow-Origin: ", echo ? request.origin : "*", "\r\n",
                  echo ? "Vary: Origin\r\n" : "");
  if (config.allow_credentials) absl::StrAppend(out, "Access-Control-Allow-Credentials: true\r\n");
  if (preflight_methods != nullptr) return AppendPreflight(config, request, *preflight_methods, out);
  absl::StrAppend(out, "Access-Control-Expose-Headers: X-Request-Id, Retry-After\r\n");
}

}  // namespace braid
