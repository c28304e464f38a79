// Ids of KV blocks: which are free, which are held, and by how many. The memory behind an id belongs to the ranks.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace braid {

class BlockPool;

// Holds one block, alone or with others; the last of them to die gives it back. Must not outlive its pool.
class BlockRef {
 public:
  BlockRef() = default;
  BlockRef(BlockRef&& other) noexcept : pool_(std::exchange(other.pool_, nullptr)), id_(other.id_) {}
  BlockRef& operator=(BlockRef&& other) noexcept {
    std::swap(pool_, other.pool_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~BlockRef();

  int32_t id() const { return id_; }
  // Returns another holder of the same block; there must be one.
  BlockRef Share() const;

 private:
  friend class BlockPool;
  BlockRef(BlockPool* pool, int32_t id) : pool_(pool), id_(id) {}

  BlockPool* pool_ = nullptr;
  int32_t id_ = -1;
};

// Blocks given back last are taken first: their memory is the likeliest to be warm. Thread: engine.
class BlockPool {
 public:
  explicit BlockPool(int num_blocks);
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;

  int num_total() const { return num_total_; }
  int num_free() const { return static_cast<int>(free_.size()); }
  int num_used() const { return num_total_ - num_free(); }  // each counted once, however many hold it

  // Takes a free block; there must be one.
  BlockRef Take();

  // How many hold the block; 0: it is free.
  int num_holders(int32_t id) const { return num_holders_[id]; }

 private:
  friend class BlockRef;
  void GiveBack(int32_t id);

  const int num_total_;
  std::vector<int32_t> free_;
  std::vector<int32_t> num_holders_;  // by block id
};

}  // namespace braid
