// From what a request says of its answer to what its tokens may be.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/grammar/token_constraint.h"
#include "models/chat/output/output_parser.h"
#include "server/openai/grammar_cache.h"
#include "server/openai/output_rules.h"

namespace braid {

// The model's side of it.
struct ConstraintModel {
  const Tokenizer* tokenizer = nullptr;
  std::shared_ptr<const TokenVocabulary> vocabulary;
  std::vector<int32_t> end_ids;
  OutputFormat format = OutputFormat::kPlain;  // of tool calls and reasoning
};

// Where the prompt leaves the model.
enum class ReasoningStart {
  kNone,    // it does not reason here
  kMayOpen, // it may open its reasoning itself
  kInside,  // the prompt ends inside
};

// Returns what binds the tokens of one request; null when nothing does. `tools`: of the request, or null.
// InvalidArgument names the request's field.
absl::StatusOr<std::shared_ptr<const ConstraintSpec>> MakeConstraint(const OutputRules& rules, const Json& tools,
                                                                     ReasoningStart reasoning, const ConstraintModel& model,
                                                                     GrammarCache* cache);

// The vocabulary of `tokenizer` as grammars see it.
std::shared_ptr<const TokenVocabulary> MakeTokenVocabulary(const Tokenizer& tokenizer, std::vector<int32_t> end_ids);

}  // namespace braid
