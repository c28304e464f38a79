// What a model keeps: per token for each attention layer (paged K and V), per sequence for each Mamba layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention/kv_layer.h"
#include "kernels/ssm/state_layout.h"

namespace braid {

struct AttentionCacheShape {
  int kv_heads = 0;
  int head_dim = 0;
};

struct CacheLayout {
  std::vector<AttentionCacheShape> attention;  // one an attention layer, in order
  std::vector<MambaStateLayout> mamba;         // one a Mamba layer, in order; grid and drafts filled in by the engine

  void Append(const CacheLayout& other);
  int64_t KvBytesPerToken(DType kv_dtype) const;
  int64_t StateBytesPerSequence() const;
};

// The memory behind it in one step, layer by layer.
struct CacheView {
  std::span<const KvLayer> kv;
  std::span<const StateLayer> state;
  std::span<const MambaStateLayout> state_layouts;

  // What lies behind that of `first`.
  CacheView Behind(const CacheLayout& first) const {
    return {kv.subspan(first.attention.size()), state.subspan(first.mamba.size()),
            state_layouts.subspan(first.mamba.size())};
  }
};

}  // namespace braid
