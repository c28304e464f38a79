// A constraint with a look ahead: what may come behind guesses at the tokens to come. Guesses change nothing: a mask
// behind some is the one that there would be had they come.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/grammar/token_constraint.h"

namespace braid {

// What may be drawn in one row.
struct RowMask {
  const uint32_t* words = nullptr;  // one bit an id of the logits; null: anything
  bool must_end = false;            // only an end of sequence is left
};

// One sequence's. Memory: a mask for the next token, and one for each guess. Thread: engine.
class LookaheadConstraint {
 public:
  // `vocab_size`: of the logits.
  LookaheadConstraint(std::shared_ptr<const ConstraintSpec> spec, int vocab_size);

  // Goes on by the token that came, the first one of the sequence's output, then the second.
  void Commit(int32_t token);

  // The mask of the token behind `output`: all tokens that came, and perhaps guesses behind them. It is valid until the
  // next Commit, or until other guesses are asked about.
  RowMask Behind(std::span<const int32_t> output);

  // Makes `drafts` better guesses at the tokens to come: drops the first that may not come and all behind it, then adds
  // what has to come there, up to `count` in all.
  void Shape(int count, std::vector<int32_t>* drafts);

 private:
  struct Place {
    std::vector<uint32_t> words;
    RowMask mask;
  };
  bool Read(std::span<const int32_t> drafts);
  const TokenConstraint& At(std::span<const int32_t> drafts);
  void Fill(const TokenConstraint& constraint, Place* place) const;

  const int vocab_size_;
  TokenConstraint now_;
  size_t num_committed_ = 0;
  std::optional<TokenConstraint> ahead_;  // behind read_, unless that is empty
  std::vector<int32_t> read_;
  std::vector<Place> places_;             // by the number of guesses before the token
  size_t num_filled_ = 0;                 // of places_: they stand behind the first 0, 1, ... of read_
};

}  // namespace braid
