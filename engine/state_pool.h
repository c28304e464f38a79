// The memory behind state slots: a slot holds one sequence's recurrent state of all Mamba layers, one behind the other.
#pragma once

#include <span>
#include <vector>

#include "models/cache_layout.h"

namespace braid {

class StatePool {
 public:
  StatePool(const CacheLayout& layout, int num_slots);

  // One view a layer, in order.
  std::span<const StateLayer> layers() const { return layers_; }

 private:
  Bytes memory_;
  std::vector<StateLayer> layers_;
};

}  // namespace braid
