// The string formats of JSON schema as anchored regular expressions.
#pragma once

#include <string>
#include <string_view>

namespace braid {

// The expression of `format`; empty: not supported. Where a standard admits texts that nobody means (leap seconds,
// quoted local parts and comments in addresses, host names of more than eight labels), they are left out.
std::string FormatPattern(std::string_view format);

// The supported names, for error messages.
std::string FormatNames();

}  // namespace braid
