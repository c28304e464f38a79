// The head of an HTTP/1.x request, read strictly: whatever two servers might read differently is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace braid {

// Why a request is refused before anybody looks at it.
struct HttpFault {
  int status = 400;
  std::string message;
};

struct HeadLimits {
  size_t max_request_line_bytes = 8 << 10;
  size_t max_header_bytes = 32 << 10;  // all lines behind the request line
  size_t max_headers = 100;
};

struct RequestHead {
  std::string method;
  std::string path;   // percent-decoded, without the query
  std::string query;  // as sent, without the question mark
  int minor_version = 1;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;

  // The value of the first header `name` (lower case); null when there is none.
  const std::string* Find(std::string_view name) const;
};

// Looks for the end of a head in `buffer`; `scanned` says how far earlier calls have looked.
struct HeadScan {
  std::optional<size_t> end;  // bytes of the head, its empty line included
  std::optional<HttpFault> fault;
};
HeadScan ScanHead(std::string_view buffer, const HeadLimits& limits, size_t* scanned);

// Reads a whole head as ScanHead found it.
std::optional<HttpFault> ParseHead(std::string_view text, const HeadLimits& limits, RequestHead* head);

}  // namespace braid
