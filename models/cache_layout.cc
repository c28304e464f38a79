#include "models/cache_layout.h"

namespace braid {

void CacheLayout::Append(const CacheLayout& other) {
  attention.insert(attention.end(), other.attention.begin(), other.attention.end());
  mamba.insert(mamba.end(), other.mamba.begin(), other.mamba.end());
}

int64_t CacheLayout::KvBytesPerToken(DType kv_dtype) const {
  int64_t bytes = 0;
  for (const AttentionCacheShape& layer : attention) {
    bytes += DTypeBytes(kv_dtype, int64_t{2} * layer.kv_heads * layer.head_dim);
  }
  return bytes;
}

int64_t CacheLayout::StateBytesPerSequence() const {
  int64_t bytes = 0;
  for (const MambaStateLayout& layer : mamba) bytes += layer.bytes();
  return bytes;
}

}  // namespace braid
