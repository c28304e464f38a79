// A computed prompt that waits for another process: its blocks and state slot stay as they are until this object dies.
#pragma once

#include <functional>
#include <utility>

#include "engine/handover/sequence_memory.h"
#include "scheduler/scheduler.h"

namespace braid {

// Must die before its engine. Thread: any.
class HeldPrompt {
 public:
  // `release` gives the memory back.
  HeldPrompt(const SequenceMemory* memory, HeldSequence held, std::function<void()> release)
      : memory_(memory), held_(std::move(held)), release_(std::move(release)) {}
  ~HeldPrompt() { release_(); }
  HeldPrompt(const HeldPrompt&) = delete;

  const SequenceLayout& layout() const { return memory_->layout(); }
  int32_t num_computed() const { return held_.num_computed; }

  // Copies one piece to `out`, which has layout().PieceBytes.
  void Read(int piece, std::byte* out) const {
    memory_->Read(piece, held_.num_computed, held_.blocks, held_.state_slot, out);
  }

 private:
  const SequenceMemory* const memory_;
  const HeldSequence held_;
  const std::function<void()> release_;
};

}  // namespace braid
