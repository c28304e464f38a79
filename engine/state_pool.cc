#include "engine/state_pool.h"

#include <algorithm>

namespace braid {

StatePool::StatePool(const CacheLayout& layout, int num_slots)
    : layouts_(layout.mamba), memory_(static_cast<size_t>(layout.StateBytesPerSequence() * num_slots)) {
  float* next = memory_.as<float>();
  for (const MambaStateLayout& shape : layout.mamba) {
    layers_.push_back({.data = next, .slot_stride = layout.StateBytesPerSequence() / 4});
    next += shape.words();
  }
}

void StatePool::Copy(int32_t from, int32_t to) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const MambaStateLayout& layout = layouts_[i];
    const float* const source = layers_[i].slot(from);
    float* const target = layers_[i].slot(to);
    std::copy_n(source + layout.state_offset(), layout.state_words(), target + layout.state_offset());
    const int64_t conv_words = layout.conv_rows() * layout.conv_row_words();
    std::copy_n(source + layout.conv_offset(), conv_words, target + layout.conv_offset());
  }
}

}  // namespace braid
