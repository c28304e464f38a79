// One attention layer's paged cache. Only attention and rope_kv_write look inside `data`:
// per block, per KV head: K transposed [head_dim, block_size], then V [block_size, head_dim] (CPU layout).
#pragma once

#include "kernels/tensor.h"

namespace braid {

struct KvLayer {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;  // f32 | f16 | bf16
  int32_t block_size = 32;    // tokens of a block; a multiple of 16
  int32_t kv_heads = 1;
  int32_t head_dim = 1;
  int64_t head_elements() const { return 2LL * block_size * head_dim; }
  int64_t block_bytes() const { return DTypeBytes(dtype, head_elements() * kv_heads); }
};

}  // namespace braid
