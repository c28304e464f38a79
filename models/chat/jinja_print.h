// Values as text: Python's str() and repr(), and json.dumps. Work is counted on the heap.
#pragma once

#include <optional>
#include <string>

#include "models/chat/jinja_value.h"

namespace braid::jinja {

std::string IntText(Int value);
std::string FloatText(double value);  // repr(): the shortest digits that read back the same

// str(value): what {{ value }} prints. Undefined prints nothing.
std::string Str(Heap& heap, const Value& value);
// repr(value): a string in quotes, the rest as Str.
std::string Repr(Heap& heap, const Value& value);

struct JsonStyle {
  bool ascii_only = false;
  bool sort_keys = false;
  std::optional<std::string> indent;  // one level's
  std::optional<std::string> item_separator, key_separator;
};
// json.dumps(value); throws for what JSON cannot hold.
std::string ToJson(Heap& heap, const Value& value, const JsonStyle& style);

}  // namespace braid::jinja
