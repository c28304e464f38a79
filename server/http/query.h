// The percent-encoded parts of a request's target.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace braid {

// Appends `text` with %XX replaced by their bytes; false for a broken or NUL escape.
bool PercentDecode(std::string_view text, std::string* out);

// The first value of `name` in a query, decoded; nothing when there is none. One with a broken escape stays as it is.
std::optional<std::string> QueryParameter(std::string_view query, std::string_view name);

}  // namespace braid
