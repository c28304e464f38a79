// What a tool's JSON schema says about a parameter, and a parameter's text as JSON by it: formats that write values as
// plain text leave their types to the schema.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/base/json.h"

namespace braid {

// A set of JSON types, one bit each.
using ValueTypes = uint8_t;
inline constexpr ValueTypes kNullValue = 1, kIntegerValue = 2, kNumberValue = 4, kBooleanValue = 8, kObjectValue = 16,
                            kArrayValue = 32, kStringValue = 64;

// The types that `schema` lets a value have: by type, enum, const, properties, items, and those of anyOf, oneOf, allOf
// and of references into `root`'s definitions. 0: it does not say.
ValueTypes SchemaTypes(const Json& schema, const Json& root);

// `text` as JSON of the first of these types that it converts to: null, integer, number, boolean, object, array; else
// as a string. Integers stay integers among numbers; infinities and NaN stay text; Python's literals count as objects
// and arrays too.
std::string ConvertValue(std::string_view text, ValueTypes types);

// The tools of a request: [{"type": "function", "function": {name, parameters}}] or [{name, parameters}].
class ToolSchemas {
 public:
  explicit ToolSchemas(Json tools) : tools_(std::move(tools)) {}
  // The schema of a tool's arguments; null when there is none.
  const Json* Parameters(std::string_view tool) const;
  ValueTypes TypesOf(std::string_view tool, std::string_view parameter) const;

 private:
  Json tools_;
};

}  // namespace braid
