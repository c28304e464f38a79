// Structural tags: answers made of free text, fixed texts and parts that obey a schema, an expression or a grammar of
// their own. The form is that of xgrammar's structural tags, which vLLM and SGLang take as well.
#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/grammar_sources.h"

namespace braid {

struct StructuralTagOptions {
  std::span<const std::string> markers;  // contents of special tokens: where one stands in a fixed text, it is the token
  JsonGrammarOptions json;
};

// Adds what `tag` describes: {"format": FORMAT} or, as it was before, {"structures": [{"begin", "schema", "end"}],
// "triggers": [TEXT]}, free text in which each trigger begins one of the structures.
//
// FORMAT is an object with a type:
//   const_string {value}, json_schema {json_schema}, regex {pattern}, grammar {grammar: EBNF}, any_text {excludes}
//   sequence {elements}, or {elements}, optional, plus, star {content}, repeat {content, min, max; -1: no end}
//   tag {begin, content, end: TEXT or [TEXT]}
//   triggered_tags {triggers, tags, at_least_one, stop_after_first, excludes}: free text in which each trigger begins one
//     of the tags; with at_least_one a tag comes first; with stop_after_first nothing follows a tag
//   tags_with_separator {tags, separator, at_least_one, stop_after_first}: tags and nothing else
//   dispatch {rules: [[TEXT, FORMAT]], loop, excludes}: free text in which each of the texts is followed by its format
// Free text inside a tag ends where the tag's end first occurs.
//
// InvalidArgument names the place and what is accepted. Refused by name: formats of tokens (token, any_tokens, ...), bounds
// of any_text, styles of json_schema but "json", and members that this table does not have.
absl::StatusOr<int32_t> AddStructuralTag(const Json& tag, const StructuralTagOptions& options, GrammarBuilder* builder);

}  // namespace braid
