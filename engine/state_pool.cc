#include "engine/state_pool.h"

namespace braid {

StatePool::StatePool(const CacheLayout& layout, int num_slots)
    : memory_(static_cast<size_t>(layout.StateBytesPerSequence() * num_slots)) {
  float* next = memory_.as<float>();
  for (const MambaStateLayout& shape : layout.mamba) {
    layers_.push_back({.data = next, .slot_stride = layout.StateBytesPerSequence() / 4});
    next += shape.words();
  }
}

}  // namespace braid
