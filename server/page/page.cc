#include "server/page/page.h"

#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "server/http/api_keys.h"

namespace braid {
namespace {

// The sources that allow what stands between each <tag> and </tag>.
std::string SourcesOf(std::string_view html, std::string_view tag) {
  const std::string begin = absl::StrCat("<", std::string(tag), ">"), end = absl::StrCat("</", std::string(tag), ">");
  std::string sources;
  for (size_t at = html.find(begin); at != std::string_view::npos; at = html.find(begin, at)) {
    at += begin.size();
    const KeyHash hash = HashKey(html.substr(at, html.find(end, at) - at));  // SHA-256
    absl::StrAppend(&sources, " 'sha256-",
                    absl::Base64Escape({reinterpret_cast<const char*>(hash.data()), hash.size()}), "'");
  }
  return sources.empty() ? " 'none'" : sources;
}

}  // namespace

std::string PolicyOf(std::string_view html) {
  return absl::StrCat(
      "default-src 'none'; script-src", SourcesOf(html, "script"), "; style-src", SourcesOf(html, "style"),
      "; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
}

Route PageRoute() {
  HttpResponse page{.content_type = "text/html; charset=utf-8"};
  page.body.assign(reinterpret_cast<const char*>(kPageBytes), kPageSize);
  page.headers = {{"Content-Security-Policy", PolicyOf(page.body)},
                  {"X-Content-Type-Options", "nosniff"},
                  {"Referrer-Policy", "no-referrer"},
                  {"Cache-Control", "no-cache"}};
  return {.method = "GET",
          .path = "/",
          .name = "page",
          .open = true,
          .handler = [page = std::move(page)](HttpRequest, std::shared_ptr<HttpExchange> exchange) {
            exchange->Send(page);
          }};
}

}  // namespace braid
