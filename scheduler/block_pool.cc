#include "scheduler/block_pool.h"

#include "kernels/base/errors.h"

namespace braid {

BlockRef::~BlockRef() {
  if (pool_ != nullptr) pool_->GiveBack(id_);
}

BlockRef BlockRef::Share() const {
  CHECK(pool_ != nullptr) << "no block to share";
  ++pool_->num_holders_[id_];
  return BlockRef(pool_, id_);
}

BlockPool::BlockPool(int num_blocks) : num_total_(num_blocks), num_holders_(num_blocks, 0) {
  CHECK_GE(num_blocks, 0);
  free_.reserve(num_blocks);
  for (int32_t id = num_blocks - 1; id >= 0; --id) free_.push_back(id);
}

BlockPool::~BlockPool() { CHECK_EQ(num_used(), 0) << "blocks outlive their pool"; }

BlockRef BlockPool::Take() {
  CHECK(!free_.empty()) << "no free block of " << num_total_;
  const int32_t id = free_.back();
  free_.pop_back();
  num_holders_[id] = 1;
  return BlockRef(this, id);
}

void BlockPool::GiveBack(int32_t id) {
  CHECK_GT(num_holders_[id], 0) << "block " << id << " given back twice";
  if (--num_holders_[id] == 0) free_.push_back(id);
}

}  // namespace braid
