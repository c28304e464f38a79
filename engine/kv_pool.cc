#include "engine/kv_pool.h"

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

absl::StatusOr<KvPool> KvPool::Make(Backend& backend, const CacheLayout& layout, DType dtype, int block_size,
                                    int num_blocks) {
  KvPool pool(backend);
  ASSIGN_OR_RETURN(pool.memory_,
                   backend.Allocate(static_cast<size_t>(BlockBytes(layout, dtype, block_size) * num_blocks)));
  std::byte* next = pool.memory_.data();
  for (const AttentionCacheShape& shape : layout.attention) {
    KvLayer layer = LayerOf(shape, dtype, block_size);
    layer.data = next;
    next += layer.block_bytes() * num_blocks;
    pool.layers_.push_back(layer);
  }
  return pool;
}

void KvPool::CopyOut(int32_t block, std::byte* out) const {
  for (const KvLayer& layer : layers_) {
    backend_->Download(layer.data + block * layer.block_bytes(), out, layer.block_bytes());
    out += layer.block_bytes();
  }
}

void KvPool::CopyIn(const std::byte* in, int32_t block) const {
  for (const KvLayer& layer : layers_) {
    backend_->Upload(in, layer.data + block * layer.block_bytes(), layer.block_bytes());
    in += layer.block_bytes();
  }
}

}  // namespace braid
