// The memory behind block ids: for each attention layer an array of blocks. Pages are committed when first touched.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"
#include "models/cache_layout.h"

namespace braid {

class KvPool {
 public:
  // ResourceExhausted when `backend`, whose memory it is, has not enough.
  static absl::StatusOr<KvPool> Make(Backend& backend, const CacheLayout& layout, DType dtype, int block_size,
                                     int num_blocks);

  // One view a layer, in order.
  std::span<const KvLayer> layers() const { return layers_; }

  // One block over all layers, one layer behind the other: BlockBytes.
  void CopyOut(int32_t block, std::byte* out) const;
  void CopyIn(const std::byte* in, int32_t block) const;

  // Bytes of one block over all layers.
  static int64_t BlockBytes(const CacheLayout& layout, DType dtype, int block_size);

 private:
  explicit KvPool(Backend& backend) : backend_(&backend) {}

  Backend* backend_;
  Bytes memory_;
  std::vector<KvLayer> layers_;
};

}  // namespace braid
