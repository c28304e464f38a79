// What callers may write, to grammars: JSON schema, regular expression, EBNF, a list of choices. Every error is an
// InvalidArgument that names the place (JSON pointer, column or line), the keyword and what is accepted; nothing is
// ever ignored in silence. All are bounded in size, depth and time.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/grammar/grammar.h"
#include "kernels/base/json.h"

namespace braid {

// The white space that the JSON grammars let a model write: none; one space after ':' and ','; or any run of at most 20
// bytes of white space where writers of JSON put it: behind { [ , : and before } ].
enum class JsonSpace { kCompact, kOneSpace, kFlexible };

struct JsonGrammarOptions {
  JsonSpace space = JsonSpace::kFlexible;
};

// A grammar may also be put inside a larger one (tool calls): these add to a builder and return the node.
absl::StatusOr<int32_t> AddJsonSchema(const Json& schema, const JsonGrammarOptions& options, GrammarBuilder* builder);
// Any JSON object (JSON mode).
int32_t AddAnyJsonObject(const JsonGrammarOptions& options, GrammarBuilder* builder);
absl::StatusOr<int32_t> AddRegex(std::string_view pattern, GrammarBuilder* builder);
absl::StatusOr<int32_t> AddChoices(std::span<const std::string> choices, GrammarBuilder* builder);

// Whole grammars.
absl::StatusOr<Grammar> JsonSchemaGrammar(const Json& schema, const JsonGrammarOptions& options = {});
Grammar AnyJsonObjectGrammar(const JsonGrammarOptions& options = {});
absl::StatusOr<Grammar> RegexGrammar(std::string_view pattern);   // the whole text matches
absl::StatusOr<Grammar> EbnfGrammar(std::string_view source);     // GBNF: `root ::= ...`
absl::StatusOr<Grammar> ChoiceGrammar(std::span<const std::string> choices);

}  // namespace braid
