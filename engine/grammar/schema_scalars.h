// The strings and numbers of a schema case as grammar.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "engine/grammar/json_text.h"
#include "engine/grammar/schema_cases.h"

namespace braid {

// Equal constraints share one rule.
class SchemaScalars {
 public:
  SchemaScalars(SchemaCases* cases, JsonText* text) : cases_(*cases), text_(*text) {}

  absl::StatusOr<int32_t> Number(const NumberSet& numbers);
  absl::StatusOr<int32_t> String(const SchemaFacts& facts);

 private:
  absl::StatusOr<int32_t> PatternNode(const SchemaFacts& facts);
  // One expression that says all: its counts are kept. -1: there is more to it.
  absl::StatusOr<int32_t> OneRegexNode(const SchemaFacts& facts);
  int32_t RuleFor(const std::string& key, int32_t node);

  SchemaCases& cases_;
  JsonText& text_;
  std::map<std::string, int32_t> nodes_;
};

}  // namespace braid
