// Both ends of a model: token rows in, final norm and logits out.
#pragma once

#include "models/blocks/norm.h"

namespace braid {

struct TokenHead {
  Weight embedding;                // [vocab, hidden]; of several ranks: the rows of this one
  Parameter embedding_factors;     // [hidden], of the rows; empty: none
  Norm embedding_norm;             // without weights: none
  Norm final_norm;
  Weight output;                   // as the embedding; null: tied to it
  RankPlace place;
  std::vector<int64_t> borders;    // [ranks + 1] of the vocabulary

  // x [tokens, hidden] = rows of batch.ids, scaled and normed if the model does
  void Embed(Ops& op, const RaggedBatch& batch, TensorView x) const;
  // hidden [logit_rows, hidden] = normed rows of x whose logits are wanted
  void FinalHidden(Ops& op, const RaggedBatch& batch, TensorView x, TensorView hidden) const;
  // logits [rows, vocab]; of several ranks the first one has all of them, the others their own
  void Logits(Ops& op, TensorView hidden, TensorView logits) const;
};

}  // namespace braid
