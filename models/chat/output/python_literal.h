// Python's literals as JSON text. Nothing is ever evaluated.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace braid {

// Strings (with escapes, also of three quotes), numbers, True, False, None (and JSON's words for them), lists, tuples
// and dicts whose keys are strings or whole numbers; nullopt for all else, and for nesting beyond 64.
std::optional<std::string> PythonLiteralToJson(std::string_view text);

}  // namespace braid
