// The memory behind state slots: a slot holds one sequence's recurrent state of all Mamba layers, one behind the other,
// or a snapshot of such a state.
#pragma once

#include <span>
#include <vector>

#include "kernels/backend.h"
#include "models/cache_layout.h"

namespace braid {

class StatePool {
 public:
  // ResourceExhausted when `backend`, whose memory it is, has not enough.
  static absl::StatusOr<StatePool> Make(Backend& backend, const CacheLayout& layout, int num_slots);

  // One view a layer, in order.
  std::span<const StateLayer> layers() const { return layers_; }

  // Copies the state of slot `from`, which stands on a grid line, to slot `to`: grid states and raw convolution rows,
  // for on a grid line the ring holds nothing.
  void Copy(int32_t from, int32_t to) const;

  // One layer's state of a slot whose sequence has computed so many positions and folded them up to `grid_position`, as
  // handover/sequence_layout.h lays it out.
  void CopyOut(int layer, int32_t slot, int32_t computed, int32_t grid_position, std::byte* out) const;
  void CopyIn(const std::byte* in, int layer, int32_t slot, int32_t computed, int32_t grid_position) const;

 private:
  StatePool(Backend& backend, std::vector<MambaStateLayout> layouts) : backend_(&backend), layouts_(std::move(layouts)) {}

  Backend* backend_;
  std::vector<MambaStateLayout> layouts_;
  Bytes memory_;
  std::vector<StateLayer> layers_;
};

}  // namespace braid
