// What one or more JSON schema objects together say about a value by their own keywords, type by type.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/grammar/number_range.h"
#include "engine/grammar/schema_document.h"

namespace braid {

// Schemas that a value has to meet all at once; sorted, each once. Empty: any value.
using SchemaSet = std::vector<const Json*>;

enum SchemaType : uint8_t {
  kNullType = 1,
  kBooleanType = 2,
  kNumberType = 4,
  kStringType = 8,
  kArrayType = 16,
  kObjectType = 32,
  kAnyType = 63,
};

// The object keywords of one schema: additionalProperties looks at its own neighbours only.
struct ObjectLayer {
  const Json* properties = nullptr;
  const Json* patterns = nullptr;
  const Json* others = nullptr;  // null: any
};

// The array keywords of one schema.
struct ArrayLayer {
  const Json* first = nullptr;   // prefixItems
  const Json* others = nullptr;  // null: any
};

// A regular expression that a string has to match, and which keyword of which schema asks for it.
struct StringPattern {
  const Json* node;
  std::string keyword;
  std::string regex;  // empty: the format `value` is not supported
  std::string value;
};

// -1 as a maximum: none.
struct SchemaFacts {
  const Json* node = nullptr;  // one of the schemas, for error messages
  uint8_t types = kAnyType;
  std::vector<const Json*> enums;  // lists, the value is in each
  std::vector<const Json*> constants;
  NumberSet numbers;
  int64_t min_length = 0, max_length = -1;
  std::vector<StringPattern> patterns;
  int64_t min_items = 0, max_items = -1;
  std::vector<ArrayLayer> arrays;
  int64_t min_properties = 0, max_properties = -1;
  std::vector<std::string> required;
  std::vector<ObjectLayer> objects;
  SchemaSet names;  // propertyNames

  bool HasValues() const { return !enums.empty() || !constants.empty(); }
};

// The keywords of a schema that speak of the same value through other schemas.
struct SchemaBranches {
  std::vector<const Json*> all;  // of $ref and allOf, the rest made for other keywords
  struct Choice {
    const Json* node;
    std::string keyword;
    std::vector<const Json*> ways;
    bool exclusive;  // oneOf
  };
  std::vector<Choice> choices;
};

// Adds what `node`, an object, says. Every keyword is understood, known to say nothing about the value, or refused.
// `made` keeps schemas that stand for other keywords.
absl::Status ReadSchema(const Json& node, SchemaDocument* document, std::deque<Json>* made, SchemaFacts* facts,
                        SchemaBranches* branches);

}  // namespace braid
