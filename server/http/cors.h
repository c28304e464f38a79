// What browsers are told about pages from elsewhere (the Fetch standard, CORS protocol).
#pragma once

#include <string>

#include "server/http/http_config.h"

namespace braid {

// What a request says about the page behind it.
struct CorsRequest {
  std::string origin;         // empty: it comes from no page
  std::string asked_headers;  // preflight: what the page is about to send
};

// Appends the header lines for an answer; none for origins that are not allowed. `preflight_methods`: those the path
// knows, in the answer to OPTIONS; null elsewhere.
void AppendCors(const CorsConfig& config, const CorsRequest& request, const std::string* preflight_methods,
                std::string* out);

}  // namespace braid
