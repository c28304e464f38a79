// How a sequence's memory lies in a hand-over: its blocks, one behind the other, then the state of each Mamba layer.
//   block: of every attention layer in order, as its KvLayer lays it out; the last block may be partly unused
//   state: of one layer, f32: the grid state unless it stands at 0 | ring rows of positions [grid position, computed) |
//          raw convolution rows of the last conv_kernel - 1 positions before `computed`
// Ring and convolution rows are sent by position, so that the sides may differ in their number of drafts. A layer without
// state (state_size 0) has convolution rows alone.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/tensor.h"
#include "models/cache_layout.h"

namespace braid {

struct SequenceLayout {
  CacheLayout cache;  // with the grid filled in
  DType kv_dtype = DType::kF32;
  int block_size = 32;
  int state_grid = 32;
  std::string form = "host";  // who lays the blocks out: host (all CPU backends) | cuda

  int64_t BlockBytes() const;
  int NumBlocks(int32_t computed) const;  // 0 for models without attention
  int32_t GridPosition(int32_t computed) const { return computed / state_grid * state_grid; }
  int64_t StateBytes(int layer, int32_t computed) const;

  // A piece is a block, or one layer's state.
  int NumPieces(int32_t computed) const;
  int64_t PieceBytes(int piece, int32_t computed) const;
  int64_t ImageBytes(int32_t computed) const;  // of all pieces
};

// What a sequence's first `computed` positions have left, as it travels.
struct SequenceImage {
  int32_t computed = 0;
  Bytes bytes;  // [ImageBytes(computed)]
};

}  // namespace braid
