#include "server/http/request_head.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/http/query.h"

namespace braid {
namespace {

HttpFault Bad(std::string message) { return {400, std::move(message)}; }

bool IsTokenByte(char c) {
  if (absl::ascii_isalnum(static_cast<unsigned char>(c))) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenByte); }

bool IsFieldByte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

std::string_view TrimSpace(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool SameWord(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase({a.data(), a.size()}, {b.data(), b.size()});
}

// Strips "http://host" of the absolute form.
std::string_view OriginForm(std::string_view target) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!SameWord(target.substr(0, scheme.size()), scheme)) continue;
    const size_t slash = target.find('/', scheme.size());
    return slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
  }
  return target;
}

std::optional<HttpFault> ParseTarget(std::string_view target, RequestHead* head) {
  if (target == "*" && head->method == "OPTIONS") {
    head->path.assign(1, '*');
    return std::nullopt;
  }
  for (char c : target) {
    if (c <= 0x20 || c >= 0x7f) return Bad("the request target holds a byte that is not visible ASCII");
  }
  target = OriginForm(target);
  if (target.empty() || target.front() != '/') return Bad("the request target must begin with /");
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  if (question != std::string_view::npos) head->query = target.substr(question + 1);
  if (!PercentDecode(target.substr(0, question), &head->path)) return Bad("the request target holds a broken % escape");
  return std::nullopt;
}

std::optional<HttpFault> ParseRequestLine(std::string_view line, RequestHead* head) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Bad("the request line is not METHOD TARGET VERSION");
  head->method = line.substr(0, first);
  if (!IsToken(head->method)) return Bad("the request method is not a token");
  const std::string_view version = line.substr(last + 1);
  if (version.size() != 8 || version.substr(0, 5) != "HTTP/" || version[6] != '.' ||
      !absl::ascii_isdigit(version[5]) || !absl::ascii_isdigit(version[7])) {
    return Bad("the request line does not end with an HTTP version");
  }
  if (version[5] != '1') return HttpFault{505, absl::StrCat("HTTP version ", std::string(version), " is not spoken here")};
  head->minor_version = version[7] == '0' ? 0 : 1;
  return ParseTarget(line.substr(first + 1, last - first - 1), head);
}

std::optional<HttpFault> ParseField(std::string_view line, RequestHead* head) {
  if (line.front() == ' ' || line.front() == '\t') return Bad("a header line is folded");
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Bad("a header line has no colon");
  const std::string_view name = line.substr(0, colon);
  if (!IsToken(name)) return Bad("a header name holds a byte that is not allowed there");
  const std::string_view value = TrimSpace(line.substr(colon + 1));
  if (!std::all_of(value.begin(), value.end(), IsFieldByte)) {
    return Bad(absl::StrCat("header ", std::string(name), " holds a control byte"));
  }
  head->headers.emplace_back(absl::AsciiStrToLower({name.data(), name.size()}), std::string(value));
  return std::nullopt;
}

std::optional<HttpFault> ReadContentLength(const std::string& value, RequestHead* head) {
  if (head->content_length.has_value()) return Bad("Content-Length is given twice");
  if (value.empty() || value.size() > 18 || !std::all_of(value.begin(), value.end(), absl::ascii_isdigit)) {
    return Bad("Content-Length is not a number");
  }
  uint64_t length = 0;
  for (char c : value) length = length * 10 + static_cast<uint64_t>(c - '0');
  head->content_length = length;
  return std::nullopt;
}

std::optional<HttpFault> ReadTransferEncoding(const std::string& value, RequestHead* head) {
  if (head->chunked) return Bad("Transfer-Encoding is given twice");
  if (head->minor_version == 0) return Bad("Transfer-Encoding in an HTTP/1.0 request");
  if (!SameWord(value, "chunked")) return Bad("Transfer-Encoding must be chunked and nothing else");
  head->chunked = true;
  return std::nullopt;
}

void ReadConnection(std::string_view value, RequestHead* head) {
  while (!value.empty()) {
    const size_t comma = value.find(',');
    const std::string_view word = TrimSpace(value.substr(0, comma));
    if (SameWord(word, "close")) head->keep_alive = false;
    if (SameWord(word, "keep-alive") && head->minor_version == 0) head->keep_alive = true;
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
  }
}

bool IsHost(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || std::string_view("-._~%!$&'()*+,;=:[]").find(c) != std::string_view::npos;
  });
}

// What one header means.
std::optional<HttpFault> ReadHeader(const std::string& name, const std::string& value, RequestHead* head) {
  if (name == "content-length") return ReadContentLength(value, head);
  if (name == "transfer-encoding") return ReadTransferEncoding(value, head);
  if (name == "connection") ReadConnection(value, head);
  if (name == "host" && !IsHost(value)) return Bad("Host is not a host name");
  if (name == "expect") {
    if (!SameWord(value, "100-continue")) return HttpFault{417, "Expect must be 100-continue"};
    head->expects_continue = head->minor_version == 1;
  }
  return std::nullopt;
}

// What the headers mean together.
std::optional<HttpFault> Interpret(RequestHead* head) {
  head->keep_alive = head->minor_version == 1;
  for (const auto& [name, value] : head->headers) {
    if (auto fault = ReadHeader(name, value, head)) return fault;
  }
  const auto hosts = std::count_if(head->headers.begin(), head->headers.end(), [](const auto& header) { return header.first == "host"; });
  if (hosts > 1) return Bad("Host is given twice");
  if (hosts == 0 && head->minor_version == 1) return Bad("Host is missing");
  if (head->chunked && head->content_length.has_value()) return Bad("Content-Length together with Transfer-Encoding");
  return std::nullopt;
}

}  // namespace

const std::string* RequestHead::Find(std::string_view name) const {
  for (const auto& header : headers) {
    if (header.first == name) return &header.second;
  }
  return nullptr;
}

HeadScan ScanHead(std::string_view buffer, const HeadLimits& limits, size_t* scanned) {
  for (size_t i = *scanned; i < buffer.size(); ++i) {
    const char c = buffer[i];
    if (c == '\0') return {.fault = Bad("the request holds a NUL byte")};
    if (i > 0 && buffer[i - 1] == '\r' && c != '\n') return {.fault = Bad("the request holds a bare CR")};
    if (c != '\n') continue;
    if (i == 0 || buffer[i - 1] != '\r') return {.fault = Bad("a line ends with a bare LF")};
    if (i >= 3 && buffer[i - 2] == '\n') return {.end = i + 1};
  }
  *scanned = buffer.size();
  const size_t line = std::min(buffer.find("\r\n"), buffer.size() - (buffer.ends_with('\r') ? 1 : 0));
  if (line > limits.max_request_line_bytes) {
    return {.fault = HttpFault{414, absl::StrCat("the request line is longer than ", limits.max_request_line_bytes, " bytes")}};
  }
  if (buffer.size() - line > limits.max_header_bytes) {
    return {.fault = HttpFault{431, absl::StrCat("the headers are longer than ", limits.max_header_bytes, " bytes")}};
  }
  return {};
}

std::optional<HttpFault> ParseHead(std::string_view text, const HeadLimits& limits, RequestHead* head) {
  const size_t line_end = text.find("\r\n");
  if (line_end > limits.max_request_line_bytes) {
    return HttpFault{414, absl::StrCat("the request line is longer than ", limits.max_request_line_bytes, " bytes")};
  }
  if (text.size() - line_end > limits.max_header_bytes) {
    return HttpFault{431, absl::StrCat("the headers are longer than ", limits.max_header_bytes, " bytes")};
  }
  if (auto fault = ParseRequestLine(text.substr(0, line_end), head)) return fault;
  text.remove_prefix(line_end + 2);
  while (text.size() > 2) {  // the last line is empty
    const size_t end = text.find("\r\n");
    if (head->headers.size() == limits.max_headers) {
      return HttpFault{431, absl::StrCat("more than ", limits.max_headers, " headers")};
    }
    if (auto fault = ParseField(text.substr(0, end), head)) return fault;
    text.remove_prefix(end + 2);
  }
  return Interpret(head);
}

}  // namespace braid
