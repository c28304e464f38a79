#include "engine/grammar/grammar_sources.h"

#include "engine/grammar/json_text.h"
#include "engine/grammar/regex_grammar.h"
#include "engine/grammar/text_dfa.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr size_t kMaxChoices = 100'000;
constexpr size_t kMaxChoiceBytes = 4 << 20;

// A grammar whose root is the node that `add` gives.
template <class Add>
absl::StatusOr<Grammar> Whole(const Add& add) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  const absl::StatusOr<int32_t> node = add(&builder);
  RETURN_IF_ERROR(node.status());
  builder.Define(root, *node);
  return builder.Take();
}

}  // namespace

absl::StatusOr<int32_t> AddRegex(std::string_view pattern, GrammarBuilder* builder) {
  ASSIGN_OR_RETURN(const Regex regex, ParseRegex(pattern));
  const CharSpelling spell = Utf8Spelling(builder);
  if (const auto tree = AddRegexTree(regex, RegexMatch::kWhole, spell, builder)) return *tree;
  ASSIGN_OR_RETURN(const TextDfa dfa, RegexDfa(regex, RegexMatch::kWhole));
  return AddDfa(dfa, spell, builder);
}

absl::StatusOr<int32_t> AddChoices(std::span<const std::string> choices, GrammarBuilder* builder) {
  if (choices.empty()) return absl::InvalidArgumentError("choice: want at least one text");
  size_t bytes = 0;
  for (const std::string& choice : choices) bytes += choice.size();
  if (choices.size() > kMaxChoices || bytes > kMaxChoiceBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("choice: want at most ", kMaxChoices, " texts of ", kMaxChoiceBytes, " bytes together"));
  }
  return JsonText(builder, {}).OneOf({choices.begin(), choices.end()});
}

absl::StatusOr<Grammar> JsonSchemaGrammar(const Json& schema, const JsonGrammarOptions& options) {
  return Whole([&](GrammarBuilder* builder) { return AddJsonSchema(schema, options, builder); });
}

Grammar AnyJsonObjectGrammar(const JsonGrammarOptions& options) {
  return *Whole([&](GrammarBuilder* builder) { return absl::StatusOr<int32_t>(AddAnyJsonObject(options, builder)); });
}

absl::StatusOr<Grammar> RegexGrammar(std::string_view pattern) {
  return Whole([&](GrammarBuilder* builder) { return AddRegex(pattern, builder); });
}

absl::StatusOr<Grammar> ChoiceGrammar(std::span<const std::string> choices) {
  return Whole([&](GrammarBuilder* builder) { return AddChoices(choices, builder); });
}

}  // namespace braid
