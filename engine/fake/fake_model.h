// A model without weights: whatever it is asked, it leaves memory as it is.
#pragma once

#include "models/model.h"

namespace braid {

// Thread: any number of walkers.
class FakeModel final : public Model {
 public:
  // Keeps K and V of one small attention layer, so that blocks have a size.
  FakeModel(int vocab_size, int max_model_len) {
    info_.family = "fake";
    info_.vocab_size = vocab_size;
    info_.hidden_size = 1;
    info_.max_model_len = max_model_len;
    info_.cache.attention = {{.kv_heads = 1, .head_dim = 16}};
  }

  const ModelInfo& info() const override { return info_; }
  void Forward(Ops&, const RaggedBatch&, const CacheView&, TensorView) const override {}
  void Embed(Ops&, const RaggedBatch&, TensorView) const override {}
  void Logits(Ops&, TensorView, TensorView) const override {}
  int64_t weight_bytes() const override { return 0; }

 private:
  ModelInfo info_;
};

}  // namespace braid
