// Both ends of a model: token rows in, final norm and logits out.
#pragma once

#include "models/blocks/norm.h"

namespace braid {

struct TokenHead {
  Weight embedding;                // [vocab, hidden]
  Parameter embedding_factors;     // [hidden], of the rows; empty: none
  Norm embedding_norm;             // without weights: none
  Norm final_norm;
  Weight output;                   // [vocab, hidden]; null: tied to the embedding

  // x [tokens, hidden] = rows of batch.ids, scaled and normed if the model does
  void Embed(Ops& op, const RaggedBatch& batch, TensorView x) const;
  // hidden [logit_rows, hidden] = normed rows of x whose logits are wanted
  void FinalHidden(Ops& op, const RaggedBatch& batch, TensorView x, TensorView hidden) const;
  // logits [rows, vocab]
  void Logits(Ops& op, TensorView hidden, TensorView logits) const;
};

}  // namespace braid
