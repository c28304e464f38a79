// A grammar at work: which bytes and tokens may come next. The part of a mask that depends on the automaton's position
// alone is computed once and kept; the rest at each step.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "engine/grammar/automaton.h"
#include "engine/grammar/grammar.h"
#include "engine/grammar/mask_cache.h"
#include "engine/grammar/token_vocabulary.h"

namespace braid {

// Immutable but for its cache of masks, which all matchers on it share. Thread: any.
class CompiledGrammar {
 public:
  // InvalidArgument: the grammar can match no text at all, or is past the bounds of size (says which).
  static absl::StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(
      const Grammar& grammar, std::shared_ptr<const TokenVocabulary> vocabulary);

  const Automaton& automaton() const { return automaton_; }
  const TokenVocabulary& vocabulary() const { return *vocabulary_; }
  MaskCache& masks() const { return masks_; }

 private:
  CompiledGrammar(Automaton automaton, std::shared_ptr<const TokenVocabulary> vocabulary)
      : vocabulary_(std::move(vocabulary)), automaton_(std::move(automaton)), masks_(automaton_, *vocabulary_) {}

  const std::shared_ptr<const TokenVocabulary> vocabulary_;  // of all grammars of a model
  const Automaton automaton_;
  mutable MaskCache masks_;
};

// Walks a text. A copy goes its own way from there (drafts, choices). Where a grammar is so ambiguous that a text can
// stand at more than StackWalker::kMaxPlaces places at once, the text counts as no part of it. Thread: one at a time.
class GrammarMatcher {
 public:
  explicit GrammarMatcher(std::shared_ptr<const CompiledGrammar> grammar);
  GrammarMatcher(const GrammarMatcher&);
  GrammarMatcher& operator=(const GrammarMatcher&);
  GrammarMatcher(GrammarMatcher&&) noexcept;
  GrammarMatcher& operator=(GrammarMatcher&&) noexcept;
  ~GrammarMatcher();

  // Goes on by `text`; false, and unchanged, when no sentence of the grammar goes on so. Markers match their text.
  bool AcceptBytes(std::string_view text);
  // Goes on by a token; false, and unchanged, when it may not come here. An end id changes nothing.
  bool AcceptToken(int32_t id);

  // The text so far is a whole sentence.
  bool CanEnd() const;
  // It is, and nothing may follow: only an end id is left.
  bool MustEnd() const;

  // The bytes that every sentence goes on with from here, as far as these are certain and at most `most`: none where one
  // may be over or a special token may come.
  std::string ForcedText(size_t most) const;

  // Sets bit id % 32 of words[id / 32] for each token that may come next, clears all others; covers the whole
  // vocabulary. words.size() >= (vocabulary size + 31) / 32. Where the grammar is so ambiguous that this would take
  // more than about a second, tokens that may come can be left out; one that may not is never set.
  void FillMask(std::span<uint32_t> words) const;

  // What the stack takes, for tests of its bounds.
  size_t num_frames() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace braid
