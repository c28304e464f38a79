// Python's % formatting, str.format without attributes and subscripts, and strftime.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/chat/jinja_value.h"

namespace braid::jinja {

// format % values: `values` is a tuple, a dict for %(name)s, or one value.
std::string FormatPercent(Heap& heap, std::string_view format, const Value& values);

// format.format(*positional, **named). Fields that reach into a value ({0.a}, {0[a]}) are refused.
std::string FormatBraces(Heap& heap, std::string_view format, const std::vector<Value>& positional,
                         const std::vector<std::pair<std::string, Value>>& named);

// strftime of a moment in UTC, in English.
std::string FormatTime(Heap& heap, std::string_view format, int64_t unix_time);

}  // namespace braid::jinja
