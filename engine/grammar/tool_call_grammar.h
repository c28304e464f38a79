// The text of tool calls as a grammar, format by format: for callers who force a call and for tools that are strict.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/grammar_sources.h"
#include "models/chat/output/output_parser.h"

namespace braid {

struct ToolCallGrammarOptions {
  std::vector<std::string> names;  // tools that may be called; empty: all
  bool parallel = true;            // several calls may follow one another; harmony writes one an answer in any case
  JsonGrammarOptions json;
};

// Adds one or more calls of `tools` (as in a request) in the exact text of `format`, reasoning left out: it comes
// before and is free (harmony has it in the same row of messages, so there one of analysis may come first).
//
// Arguments obey the tool's `parameters`; a tool without them takes any. Where a format writes each parameter as a tag,
// they come as declared, required ones always; what can be a string is raw text, held to the `enum`, `const`,
// `pattern`, `format`, `minLength` and `maxLength` of its schema where that says "string" and nothing else, and to none
// of them where strings are one way among others; all else is JSON by its schema.
//
// InvalidArgument: a format that has no calls or writes them in Python, no tools, a name that is not among them, a name
// or parameter that the format cannot write, a schema that AddJsonSchema refuses.
absl::StatusOr<int32_t> AddToolCallGrammar(OutputFormat format, const Json& tools,
                                           const ToolCallGrammarOptions& options, GrammarBuilder* builder);

}  // namespace braid
