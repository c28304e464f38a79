#include "engine/state_pool.h"

#include <algorithm>

namespace braid {

namespace {

// Calls visit(offset, words) for each run of words that the positions before `computed` have left in a layer's part of
// a slot, in the order of a hand-over. Without a state (state_size 0) there is no ring either.
template <class Visit>
void ForEachRun(const MambaStateLayout& layout, int32_t computed, int32_t grid_position, Visit visit) {
  if (grid_position > 0) visit(layout.state_offset(), layout.state_words());
  for (int32_t position = layout.state_size > 0 ? grid_position : computed; position < computed; ++position) {
    visit(layout.ring_offset() + position % layout.ring_rows() * layout.ring_row_words(), layout.ring_row_words());
  }
  for (int32_t position = std::max(0, computed - layout.conv_kernel + 1); position < computed; ++position) {
    visit(layout.conv_offset() + position % layout.conv_rows() * layout.conv_row_words(), layout.conv_row_words());
  }
}

}  // namespace

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

void StatePool::CopyOut(int layer, int32_t slot, int32_t computed, int32_t grid_position, std::byte* out) const {
  const float* const source = layers_[layer].slot(slot);
  ForEachRun(layouts_[layer], computed, grid_position, [&](int64_t offset, int64_t words) {
    backend_->Download(source + offset, out, 4 * words);
    out += 4 * words;
  });
}

void StatePool::CopyIn(const std::byte* in, int layer, int32_t slot, int32_t computed, int32_t grid_position) const {
  float* const target = layers_[layer].slot(slot);
  ForEachRun(layouts_[layer], computed, grid_position, [&](int64_t offset, int64_t words) {
    backend_->Upload(in, target + offset, 4 * words);
    in += 4 * words;
  });
}

}  // namespace braid
