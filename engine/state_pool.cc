#include "engine/state_pool.h"

namespace braid {

absl::StatusOr<StatePool> StatePool::Make(Backend& backend, const CacheLayout& layout, int num_slots) {
  StatePool pool(backend, layout.mamba);
  ASSIGN_OR_RETURN(pool.memory_, backend.Allocate(static_cast<size_t>(layout.StateBytesPerSequence() * num_slots)));
  float* next = pool.memory_.as<float>();
  for (const MambaStateLayout& shape : layout.mamba) {
    pool.layers_.push_back({.data = next, .slot_stride = layout.StateBytesPerSequence() / 4});
    next += shape.words();
  }
  return pool;
}

void StatePool::Copy(int32_t from, int32_t to) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const MambaStateLayout& layout = layouts_[i];
    const float* const source = layers_[i].slot(from);
    float* const target = layers_[i].slot(to);
    const auto copy = [&](int64_t offset, int64_t words) {
      backend_->Copy(source + offset, target + offset, sizeof(float) * static_cast<size_t>(words));
    };
    copy(layout.state_offset(), layout.state_words());
    copy(layout.conv_offset(), layout.conv_rows() * layout.conv_row_words());
  }
}

}  // namespace braid
