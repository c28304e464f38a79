// What may come next in one sequence: a grammar for the answer, a budget for the reasoning before it, words that must
// not be said. A function of the request and the tokens so far; nothing else is kept.
#pragma once

#include <cstdint>
#include <memory>
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

// Thread: engine.
class TokenConstraint {
 public:
  // `vocab_size`: of the logits; ids past the tokenizer's are never allowed while a mask is set.
  TokenConstraint(std::shared_ptr<const ConstraintSpec> spec, int vocab_size);

  // The mask of the next token, one bit an id, valid until the next call; null: anything may come. Never all zero.
  const uint32_t* Mask();
  // Goes on by the token that came.
  void Commit(int32_t token);
  // Only an end of sequence can follow.
  bool MustEnd() const { return in_answer() && matcher_ != nullptr && matcher_->MustEnd(); }

 private:
  bool in_answer() const { return !in_reasoning_; }
  void CommitReasoning(int32_t token);
  void CommitAnswer(int32_t token);
  bool ForcesClosing() const;
  void AllowOnly(int32_t id);
  void ForbidBadWords();

  const std::shared_ptr<const ConstraintSpec> spec_;
  std::unique_ptr<GrammarMatcher> matcher_;  // null: no grammar
  std::vector<uint32_t> words_;
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
