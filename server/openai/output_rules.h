// What a request says of the form of its answer: structured output, tool calls, reasoning.
#pragma once

#include <string>
#include <vector>

#include "kernels/base/json.h"

namespace braid {

// The answer must be of a form: of `response_format` or `structured_outputs`.
struct StructuredOutput {
  enum class Kind { kNone, kJsonObject, kJsonSchema, kRegex, kEbnf, kChoice, kStructuralTag };
  Kind kind = Kind::kNone;
  std::string field;                  // the request field that asked for it, for errors
  Json schema;                        // kJsonSchema; kStructuralTag: the whole of it
  std::string source;                 // kRegex, kEbnf
  std::vector<std::string> choices;   // kChoice
};

struct ToolChoice {
  enum class Kind { kNone, kAuto, kRequired, kNamed };
  Kind kind = Kind::kNone;
  std::string name;                   // kNamed

  bool forced() const { return kind == Kind::kRequired || kind == Kind::kNamed; }
};

struct OutputRules {
  StructuredOutput structured;
  ToolChoice tool_choice;
  bool parallel_tool_calls = true;    // false: at most one call
  bool include_reasoning = true;
  int thinking_budget = -1;           // tokens; -1: unlimited
  int thinking_grace = 0;             // tokens past it, for the line to end
  std::vector<std::string> bad_words;
};

}  // namespace braid
