// The gzip coding of answers.
#pragma once

#include <string>
#include <string_view>

namespace braid {

// Whether an Accept-Encoding header allows gzip and does not prefer the plain form (RFC 9110, 12.5.3). What cannot be
// read counts as no.
bool AcceptsGzip(std::string_view accept_encoding);

// `text` in gzip form (RFC 1952), quickly rather than small.
std::string Gzip(std::string_view text);

}  // namespace braid
