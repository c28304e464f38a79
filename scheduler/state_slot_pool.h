// Ids of state slots: each holds the recurrent state of one sequence. The memory behind an id belongs to the ranks.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace braid {

class StateSlotPool;

// Holds one state slot and gives it back when it dies; empty by default. Must not outlive its pool.
class SlotRef {
 public:
  SlotRef() = default;
  SlotRef(SlotRef&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)), id_(std::exchange(other.id_, -1)) {}
  SlotRef& operator=(SlotRef&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~SlotRef();

  int32_t id() const { return id_; }  // -1: holds none

 private:
  friend class StateSlotPool;
  SlotRef(StateSlotPool* pool, int32_t id) : pool_(pool), id_(id) {}

  StateSlotPool* pool_ = nullptr;
  int32_t id_ = -1;
};

// Thread: engine.
class StateSlotPool {
 public:
  explicit StateSlotPool(int num_slots);
  ~StateSlotPool();
  StateSlotPool(const StateSlotPool&) = delete;

  int num_total() const { return num_total_; }
  int num_free() const { return static_cast<int>(free_.size()); }
  int num_used() const { return num_total_ - num_free(); }

  // Takes a free slot; there must be one.
  SlotRef Take();

 private:
  friend class SlotRef;
  void GiveBack(int32_t id);

  const int num_total_;
  std::vector<int32_t> free_;
  std::vector<bool> held_;  // by slot id
};

}  // namespace braid
