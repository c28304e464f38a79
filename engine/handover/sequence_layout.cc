#include "engine/handover/sequence_layout.h"

#include <algorithm>

#include "engine/kv_pool.h"

namespace braid {

int64_t SequenceLayout::BlockBytes() const { return KvPool::BlockBytes(cache, kv_dtype, block_size); }

int SequenceLayout::NumBlocks(int32_t computed) const {
  return cache.attention.empty() ? 0 : (computed + block_size - 1) / block_size;
}

int64_t SequenceLayout::StateBytes(int layer, int32_t computed) const {
  const MambaStateLayout& shape = cache.mamba[layer];
  const int32_t grid_position = GridPosition(computed);
  const int64_t ring_rows = shape.state_size > 0 ? computed - grid_position : 0;
  const int64_t conv_rows = std::min(computed, shape.conv_kernel - 1);
  const int64_t words = (grid_position > 0 ? shape.state_words() : 0) + ring_rows * shape.ring_row_words() +
                        conv_rows * shape.conv_row_words();
  return 4 * words;
}

int SequenceLayout::NumPieces(int32_t computed) const {
  return NumBlocks(computed) + static_cast<int>(cache.mamba.size());
}

int64_t SequenceLayout::PieceBytes(int piece, int32_t computed) const {
  const int num_blocks = NumBlocks(computed);
  return piece < num_blocks ? BlockBytes() : StateBytes(piece - num_blocks, computed);
}

int64_t SequenceLayout::ImageBytes(int32_t computed) const {
  int64_t bytes = BlockBytes() * NumBlocks(computed);
  for (size_t layer = 0; layer < cache.mamba.size(); ++layer) bytes += StateBytes(static_cast<int>(layer), computed);
  return bytes;
}

}  // namespace braid
