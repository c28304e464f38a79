#include "scheduler/state_slot_pool.h"

#include "kernels/base/errors.h"

namespace braid {

SlotRef::~SlotRef() {
  if (pool_ != nullptr) pool_->GiveBack(id_);
}

StateSlotPool::StateSlotPool(int num_slots) : num_total_(num_slots), held_(num_slots, false) {
  CHECK_GE(num_slots, 0);
  free_.reserve(num_slots);
  for (int32_t id = num_slots - 1; id >= 0; --id) free_.push_back(id);
}

StateSlotPool::~StateSlotPool() { CHECK_EQ(num_used(), 0) << "state slots outlive their pool"; }

SlotRef StateSlotPool::Take() {
  CHECK(!free_.empty()) << "no free state slot of " << num_total_;
  const int32_t id = free_.back();
  free_.pop_back();
  held_[id] = true;
  return SlotRef(this, id);
}

void StateSlotPool::GiveBack(int32_t id) {
  CHECK(held_[id]) << "state slot " << id << " given back twice";
  held_[id] = false;
  free_.push_back(id);
}

}  // namespace braid
