// The chat and status page.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "server/http/route_table.h"

namespace braid {

// page.html, put here by the build.
extern const unsigned char kPageBytes[];
extern const size_t kPageSize;

// The Content-Security-Policy of an HTML text: nothing from elsewhere, no script and no style but those it holds
// itself, by their SHA-256.
std::string PolicyOf(std::string_view html);

// GET /, open: the page asks for a key when a call wants one.
Route PageRoute();

}  // namespace braid
