#include "engine/kv_pool.h"

#include <algorithm>

namespace braid {
namespace {

KvLayer LayerOf(const AttentionCacheShape& shape, DType dtype, int block_size) {
  return {.dtype = dtype, .block_size = block_size, .kv_heads = shape.kv_heads, .head_dim = shape.head_dim};
}

}  // namespace

int64_t KvPool::BlockBytes(const CacheLayout& layout, DType dtype, int block_size) {
  int64_t bytes = 0;
  for (const AttentionCacheShape& shape : layout.attention) bytes += LayerOf(shape, dtype, block_size).block_bytes();
  return bytes;
}

KvPool::KvPool(const CacheLayout& layout, DType dtype, int block_size, int num_blocks)
    : memory_(static_cast<size_t>(BlockBytes(layout, dtype, block_size) * num_blocks)) {
  std::byte* next = memory_.data();
  for (const AttentionCacheShape& shape : layout.attention) {
    KvLayer layer = LayerOf(shape, dtype, block_size);
    layer.data = next;
    next += layer.block_bytes() * num_blocks;
    layers_.push_back(layer);
  }
}

void KvPool::CopyOut(int32_t block, std::byte* out) const {
  for (const KvLayer& layer : layers_) {
    out = std::copy_n(layer.data + block * layer.block_bytes(), layer.block_bytes(), out);
  }
}

void KvPool::CopyIn(const std::byte* in, int32_t block) const {
  for (const KvLayer& layer : layers_) {
    std::copy_n(in, layer.block_bytes(), layer.data + block * layer.block_bytes());
    in += layer.block_bytes();
  }
}

}  // namespace braid
