// Both ends of a model: token rows in, final norm and logits out.
#pragma once

#include "models/blocks/weight_loader.h"

namespace braid {

struct TokenHead {
  Weight embedding;                // [vocab, hidden]
  std::vector<float> final_norm;   // [hidden]
  Weight output;                   // [vocab, hidden]; null: tied to the embedding
  float norm_eps = 1e-5f;

  // x [tokens, hidden] = rows of batch.ids
  void Embed(Ops& op, const RaggedBatch& batch, TensorView x) const;
  // hidden [logit_rows, hidden] = normed rows of x whose logits are wanted
  void FinalHidden(Ops& op, const RaggedBatch& batch, TensorView x, TensorView hidden) const;
  // logits [rows, vocab]
  void Logits(Ops& op, TensorView hidden, TensorView logits) const;
};

}  // namespace braid
