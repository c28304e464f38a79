// Copies sequences out of a rank's pools and into them, piece by piece; see sequence_layout.h.
#pragma once

#include <span>

#include "engine/handover/sequence_layout.h"
#include "engine/kv_pool.h"
#include "engine/state_pool.h"

namespace braid {

// Borrows the pools. Thread: any, for memory that nobody writes meanwhile.
class SequenceMemory {
 public:
  SequenceMemory(SequenceLayout layout, const KvPool& kv, const StatePool& state)
      : layout_(std::move(layout)), kv_(kv), state_(state) {}

  const SequenceLayout& layout() const { return layout_; }

  // Copies one piece of a sequence that has computed so many positions to `out`, which has PieceBytes.
  void Read(int piece, int32_t computed, std::span<const int32_t> blocks, int32_t slot, std::byte* out) const;

  // Copies all of `image` into the first of `blocks` and the slot.
  void Write(const SequenceImage& image, std::span<const int32_t> blocks, int32_t slot) const;

 private:
  const SequenceLayout layout_;
  const KvPool& kv_;
  const StatePool& state_;
};

}  // namespace braid
