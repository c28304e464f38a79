// What may come next in one sequence: a grammar for the answer, a budget for the reasoning before it, words that must
// not be said. A function of the request and the tokens so far; nothing else is kept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/grammar/matcher.h"
#include "models/tokenizer/tokenizer.h"

namespace braid {

// What a request asks for. Shared by its choices. Immutable.
struct ConstraintSpec {
  const Tokenizer* tokenizer = nullptr;            // outlives the request
  std::shared_ptr<const CompiledGrammar> grammar;  // of the answer behind the reasoning; null: free
  std::vector<int32_t> end_ids;                    // allowed when nothing else is

  // The reasoning. Without a marker for its end the answer begins at once.
  bool starts_in_reasoning = false;   // the prompt ended inside
  int32_t reasoning_begin = -1;       // the token that opens it; -1: the model cannot open it
  std::string reasoning_end;          // the text that closes it
  std::vector<int32_t> closing_ids;   // its tokens, to be forced
  int thinking_budget = -1;           // tokens of reasoning; -1: unlimited
  int thinking_grace = 0;             // tokens past the budget in which the reasoning may come to the end of a line

  std::vector<std::vector<int32_t>> bad_words;  // token sequences, none empty
};

// A copy goes its own way from there. Thread: engine.
class TokenConstraint {
 public:
  explicit TokenConstraint(std::shared_ptr<const ConstraintSpec> spec);

  // Sets the bits of the tokens that may come next, clears all others: one bit an id of the logits, of which those past
  // the tokenizer's may never come. At least one is set. False, and `words` mean nothing: anything may come.
  bool FillMask(std::span<uint32_t> words) const;
  // Goes on by the token that came; false when it is one that may not come here.
  bool Commit(int32_t token);
  // Only an end of sequence can follow.
  bool MustEnd() const { return BindsAnswer() && matcher_->MustEnd(); }
  // Guesses at most `count` tokens where what comes next is certain: they spell it, in the fewest pieces from the left.
  std::vector<int32_t> Forced(int count) const;

 private:
  bool BindsAnswer() const { return !in_reasoning_ && matcher_.has_value(); }
  void CommitReasoning(int32_t token);
  bool CommitAnswer(int32_t token);
  bool ForcesClosing() const;
  int32_t NextClosing() const { return spec_->closing_ids[std::min(closing_next_, spec_->closing_ids.size() - 1)]; }
  bool EndsBadWord(const std::vector<int32_t>& word) const;
  bool EndsBadWord(int32_t token) const;

  std::shared_ptr<const ConstraintSpec> spec_;  // of all choices of its request
  std::optional<GrammarMatcher> matcher_;       // none: no grammar
  bool in_reasoning_;
  bool answer_begun_ = false;
  bool over_budget_ = false;         // and a line has ended, or the grace is over: closing_ids are forced
  int reasoning_tokens_ = 0;
  size_t closing_next_ = 0;          // of closing_ids
  std::string tail_;                 // the end of the reasoning's text, as long as the marker
  std::vector<int32_t> recent_;      // as many tokens as the longest bad word has
  size_t longest_bad_word_ = 0;
};

}  // namespace braid
