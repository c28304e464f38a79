#include "server/openai/output_constraint.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/grammar/grammar_sources.h"
#include "engine/grammar/structural_tag.h"
#include "engine/grammar/tool_call_grammar.h"
#include "kernels/base/errors.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

using Kind = StructuredOutput::Kind;

constexpr int kMaxLeadingSpace = 4;  // bytes between the end of the reasoning and the answer

std::vector<std::string> SpecialTokens(const Tokenizer& tokenizer) {
  std::vector<std::string> contents;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.IsSpecial(id)) contents.emplace_back(tokenizer.TokenBytes(id));
  }
  return contents;
}

absl::StatusOr<int32_t> AddTags(const Json& tag, const Tokenizer& tokenizer, GrammarBuilder* builder) {
  const std::vector<std::string> markers = SpecialTokens(tokenizer);
  return AddStructuralTag(tag, {.markers = markers, .json = {}}, builder);
}

// Adds what `wanted` asks for as a node; EBNF is a whole grammar and not added so.
absl::StatusOr<int32_t> AddStructure(const StructuredOutput& wanted, const Tokenizer& tokenizer, GrammarBuilder* builder) {
  switch (wanted.kind) {
    case Kind::kJsonObject: return AddAnyJsonObject({}, builder);
    case Kind::kJsonSchema: return AddJsonSchema(wanted.schema, {}, builder);
    case Kind::kRegex: return AddRegex(wanted.source, builder);
    case Kind::kChoice: return AddChoices(wanted.choices, builder);
    case Kind::kStructuralTag: return AddTags(wanted.schema, tokenizer, builder);
    case Kind::kEbnf:
    case Kind::kNone: break;
  }
  CHECK(false) << static_cast<int>(wanted.kind);
}

absl::StatusOr<int32_t> AddCalls(const OutputRules& rules, const Json& tools, OutputFormat format, GrammarBuilder* builder) {
  const bool named = rules.tool_choice.kind == ToolChoice::Kind::kNamed;  // one call of that name
  ToolCallGrammarOptions options{.parallel = rules.parallel_tool_calls && !named};
  if (named) options.names = {rules.tool_choice.name};
  auto calls = AddToolCallGrammar(format, tools, options, builder);
  return calls.ok() ? calls : WithDetails(calls.status(), "tools");
}

// What the answer behind the reasoning must be. `room`: white space may stand before it.
absl::StatusOr<Grammar> AnswerGrammar(const OutputRules& rules, const Json& tools, bool room, const ConstraintModel& model) {
  const StructuredOutput& wanted = rules.structured;
  if (wanted.kind == Kind::kEbnf) return EbnfGrammar(wanted.source);
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  std::vector<int32_t> answers;
  if (wanted.kind != Kind::kNone) {
    ASSIGN_OR_RETURN(const int32_t answer, AddStructure(wanted, *model.tokenizer, &builder));
    answers.push_back(answer);
  }
  if (rules.tool_choice.kind != ToolChoice::Kind::kNone) {
    ASSIGN_OR_RETURN(const int32_t calls, AddCalls(rules, tools, model.format, &builder));
    answers.push_back(calls);
  }
  int32_t answer = builder.Choice(std::move(answers));
  if (room) {
    ByteSet space;
    for (char c : {' ', '\n', '\r', '\t'}) space.set(static_cast<unsigned char>(c));
    answer = builder.Sequence({builder.Repeat(builder.Bytes(space), 0, kMaxLeadingSpace), answer});
  }
  builder.Define(root, answer);
  return builder.Take();
}

// Equal for requests whose answers have equal grammars.
std::string KeyOf(const OutputRules& rules, const Json& tools, bool room) {
  const StructuredOutput& wanted = rules.structured;
  const Json key = {static_cast<int>(wanted.kind), wanted.schema, wanted.source, wanted.choices,
                    static_cast<int>(rules.tool_choice.kind), rules.tool_choice.name, rules.parallel_tool_calls,
                    rules.tool_choice.kind == ToolChoice::Kind::kNone ? Json() : tools, room};
  return WriteJson(key);
}

absl::StatusOr<GrammarCache::Compiled> CompileAnswer(const OutputRules& rules, const Json& tools, bool room,
                                                     const ConstraintModel& model) {
  auto grammar = AnswerGrammar(rules, tools, room, model);
  if (!grammar.ok()) return grammar.status();
  return CompiledGrammar::Compile(*std::move(grammar), model.vocabulary);
}

// The error of a grammar, with the field that asked for it in front.
absl::Status Named(const OutputRules& rules, const absl::Status& status) {
  const std::string field = !rules.structured.field.empty() ? rules.structured.field : "tools";
  if (absl::StartsWith(status.message(), field)) return WithDetails(status, field);
  return InvalidParam(field, absl::StrCat(field, ": ", status.message()));
}

// Both spellings of a word: at a beginning, and behind a space.
void AddBadWord(const Tokenizer& tokenizer, const std::string& word, std::vector<std::vector<int32_t>>* out) {
  for (const std::string& spelled : {word, absl::StrCat(" ", word)}) {
    std::vector<int32_t> ids = tokenizer.Encode(spelled, {.add_special_tokens = false, .parse_special_tokens = false});
    if (!ids.empty() && std::find(out->begin(), out->end(), ids) == out->end()) out->push_back(std::move(ids));
  }
}

// Fills what concerns the reasoning; false when nothing of it binds.
bool FillReasoning(const OutputRules& rules, ReasoningStart start, const ConstraintModel& model, ConstraintSpec* spec) {
  const OutputMarkers& markers = MarkersOf(model.format);
  if (start == ReasoningStart::kNone || markers.reasoning_end.empty()) return false;
  spec->starts_in_reasoning = start == ReasoningStart::kInside;
  if (start == ReasoningStart::kMayOpen) spec->reasoning_begin = model.tokenizer->IdOf(markers.reasoning_begin).value_or(-1);
  spec->reasoning_end = markers.reasoning_end;
  spec->closing_ids = model.tokenizer->Encode(markers.reasoning_end, {.add_special_tokens = false, .parse_special_tokens = true});
  spec->thinking_budget = rules.thinking_budget;
  spec->thinking_grace = rules.thinking_grace;
  return rules.thinking_budget >= 0;
}

bool NeedsGrammar(const OutputRules& rules) {
  return rules.structured.kind != Kind::kNone || rules.tool_choice.forced();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const ConstraintSpec>> MakeConstraint(const OutputRules& rules, const Json& tools,
                                                                     ReasoningStart reasoning, const ConstraintModel& model,
                                                                     GrammarCache* cache) {
  auto spec = std::make_shared<ConstraintSpec>();
  spec->tokenizer = model.tokenizer;
  spec->end_ids = model.end_ids;
  const bool budgeted = FillReasoning(rules, reasoning, model, spec.get());
  for (const std::string& word : rules.bad_words) AddBadWord(*model.tokenizer, word, &spec->bad_words);
  if (NeedsGrammar(rules)) {
    const bool room = reasoning != ReasoningStart::kNone;
    auto grammar = cache->Get(KeyOf(rules, tools, room), [&] { return CompileAnswer(rules, tools, room, model); });
    if (!grammar.ok()) return Named(rules, grammar.status());
    spec->grammar = *std::move(grammar);
  }
  if (!budgeted && spec->grammar == nullptr && spec->bad_words.empty()) return nullptr;
  return spec;
}

std::shared_ptr<const TokenVocabulary> MakeTokenVocabulary(const Tokenizer& tokenizer, std::vector<int32_t> end_ids) {
  std::vector<std::string> bytes(tokenizer.vocab_size());
  std::vector<bool> special(bytes.size());
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    bytes[id] = tokenizer.TokenBytes(id);
    special[id] = tokenizer.IsSpecial(id);
  }
  return TokenVocabulary::Make(std::move(bytes), std::move(special), std::move(end_ids));
}

}  // namespace braid
