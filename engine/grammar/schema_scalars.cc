#include "engine/grammar/schema_scalars.h"

#include <algorithm>

#include "kernels/base/errors.h"

namespace braid {
namespace {

std::string KeyOf(const std::optional<NumberBound>& bound) {
  return bound ? bound->value.Text() + (bound->open ? "o" : "c") : "";
}

std::string KeyOf(const NumberSet& numbers) {
  const MultipleOf multiple = numbers.multiple.value_or(MultipleOf{0, 0});
  return absl::StrCat("number ", numbers.integer, " ", KeyOf(numbers.min), " ", KeyOf(numbers.max), " ",
                      multiple.factor, " ", multiple.scale);
}

std::string KeyOf(const SchemaFacts& facts) {
  std::string key = absl::StrCat("string ", facts.min_length, " ", facts.max_length);
  for (const StringPattern& pattern : facts.patterns)
    absl::StrAppend(&key, " ", pattern.regex.size(), ":", pattern.regex);
  return key;
}

bool IsZeroAndUp(const NumberSet& numbers) {
  return !numbers.integer && !numbers.max && !numbers.multiple && numbers.min && !numbers.min->open &&
         numbers.min->value.IsZero();
}

}  // namespace

int32_t SchemaScalars::RuleFor(const std::string& key, int32_t node) {
  GrammarBuilder& builder = text_.builder();
  const int32_t rule = builder.NewRule();
  builder.Define(rule, node);
  return nodes_[key] = builder.Rule(rule);
}

absl::StatusOr<int32_t> SchemaScalars::Number(const NumberSet& numbers) {
  if (numbers.IsAll()) return numbers.integer ? text_.Integer() : text_.Number();
  if (IsZeroAndUp(numbers)) return text_.NotNegativeNumber();
  const std::string key = KeyOf(numbers);
  if (const auto known = nodes_.find(key); known != nodes_.end()) return known->second;
  ASSIGN_OR_RETURN(const TextDfa dfa, NumberDfa(numbers));
  return RuleFor(key, AddDfa(dfa, Utf8Spelling(&text_.builder()), &text_.builder()));
}

absl::StatusOr<int32_t> SchemaScalars::String(const SchemaFacts& facts) {
  if (facts.max_length >= 0 && facts.min_length > facts.max_length) return text_.builder().Nothing();
  if (facts.patterns.empty() && facts.min_length == 0 && facts.max_length < 0) return text_.String(0, -1);
  const std::string key = KeyOf(facts);
  if (const auto known = nodes_.find(key); known != nodes_.end()) return known->second;
  if (facts.patterns.empty()) return RuleFor(key, text_.String(facts.min_length, facts.max_length));
  ASSIGN_OR_RETURN(const int32_t inside, PatternNode(facts));
  const int32_t quote = text_.builder().Literal("\"");
  return RuleFor(key, text_.builder().Sequence({quote, inside, quote}));
}

absl::StatusOr<int32_t> SchemaScalars::PatternNode(const SchemaFacts& facts) {
  ASSIGN_OR_RETURN(const int32_t one, OneRegexNode(facts));
  if (one >= 0) return one;
  auto strings = cases_.Strings(facts);
  if (strings.ok()) return AddDfa(*strings, text_.Spelling(), &text_.builder());
  if (facts.patterns.size() > 1 || facts.min_length > 0 || facts.max_length >= 0) return strings.status();
  // Too large for an automaton: the expression with any text around it says the same.
  ASSIGN_OR_RETURN(const Regex* regex, cases_.RegexOf(facts.patterns[0]));
  const auto tree = AddRegexTree(*regex, RegexMatch::kAnywhere, text_.Spelling(), &text_.builder());
  if (!tree) return strings.status();
  return *tree;
}

absl::StatusOr<int32_t> SchemaScalars::OneRegexNode(const SchemaFacts& facts) {
  if (facts.patterns.size() != 1) return -1;
  ASSIGN_OR_RETURN(const Regex* regex, cases_.RegexOf(facts.patterns[0]));
  if (const auto repeated = AsRepeatedChars(*regex)) {
    const int64_t least = std::max<int64_t>(repeated->min, facts.min_length);
    int64_t most = repeated->max < 0 ? facts.max_length : repeated->max;
    if (facts.max_length >= 0) most = std::min(most, facts.max_length);
    if (most >= 0 && least > most) return text_.builder().Nothing();
    return text_.builder().Repeat(text_.Chars(repeated->chars), static_cast<int32_t>(least),
                                  static_cast<int32_t>(most));
  }
  if (!IsAnchored(*regex)) return -1;
  const TextLength length = LengthOf(*regex);
  const bool long_enough = length.least >= facts.min_length;
  const bool short_enough = facts.max_length < 0 || (length.most >= 0 && length.most <= facts.max_length);
  if (!long_enough || !short_enough) return -1;
  return AddRegexTree(*regex, RegexMatch::kAnywhere, text_.Spelling(), &text_.builder()).value_or(-1);
}

}  // namespace braid
