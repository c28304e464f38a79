#include "engine/handover/sequence_memory.h"

#include "kernels/base/errors.h"

namespace braid {

void SequenceMemory::Read(int piece, int32_t computed, std::span<const int32_t> blocks, int32_t slot,
                          std::byte* out) const {
  const int num_blocks = layout_.NumBlocks(computed);
  if (piece < num_blocks) return kv_.CopyOut(blocks[piece], out);
  state_.CopyOut(piece - num_blocks, slot, computed, layout_.GridPosition(computed), out);
}

void SequenceMemory::Write(const SequenceImage& image, std::span<const int32_t> blocks, int32_t slot) const {
  CHECK_EQ(static_cast<int64_t>(image.bytes.size()), layout_.ImageBytes(image.computed));
  const int num_blocks = layout_.NumBlocks(image.computed), num_pieces = layout_.NumPieces(image.computed);
  CHECK_LE(num_blocks, static_cast<int>(blocks.size()));
  const std::byte* next = image.bytes.data();
  for (int piece = 0; piece < num_pieces; ++piece) {
    if (piece < num_blocks) {
      kv_.CopyIn(next, blocks[piece]);
    } else {
      state_.CopyIn(next, piece - num_blocks, slot, image.computed, layout_.GridPosition(image.computed));
    }
    next += layout_.PieceBytes(piece, image.computed);
  }
}

}  // namespace braid
