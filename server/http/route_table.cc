#include "server/http/route_table.h"

#include <optional>

namespace braid {
namespace {

// What is left of `path` behind `pattern`; nothing when they do not fit.
std::optional<std::string_view> RestOf(std::string_view pattern, std::string_view path) {
  if (path == pattern) return pattern.back() == '/' && pattern.size() > 1 ? std::nullopt : std::optional(std::string_view());
  const bool below = pattern.size() > 1 && pattern.back() == '/' && path.substr(0, pattern.size()) == pattern;
  return below ? std::optional(path.substr(pattern.size())) : std::nullopt;
}

}  // namespace

RouteTable::Match RouteTable::Find(std::string_view method, std::string_view path) const {
  Match match;
  const std::string_view wanted = method == "HEAD" ? std::string_view("GET") : method;
  for (const Route& route : routes_) {
    const std::optional<std::string_view> rest = RestOf(route.path, path);
    if (!rest.has_value()) continue;
    if (!match.allow.empty()) match.allow += ", ";
    match.allow += route.method == "GET" ? "GET, HEAD" : route.method;
    if (route.method != wanted || match.route != nullptr) continue;
    match.route = &route;
    match.rest = *rest;
  }
  if (!match.allow.empty()) match.allow += ", OPTIONS";
  return match;
}

}  // namespace braid
