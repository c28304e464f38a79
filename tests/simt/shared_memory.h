// A block's shared memory, and for each of its words who touched it last: two threads on one word without a barrier
// between them, one of them writing, is a race. Accesses are ordered by __syncthreads, and within a warp by __syncwarp.
#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "tests/simt/block.h"

namespace braid::simt {

class SharedMemory {
 public:
  SharedMemory();

  // Begins a block: `dynamic_bytes`, nothing static yet; all bytes read as NaN.
  void Begin(size_t dynamic_bytes);
  // Orders all accesses so far before all that follow.
  void Barrier() { ++epoch_; }
  SharedRange dynamic() { return {bytes_.get(), bytes_.get() + dynamic_bytes_}; }
  SharedRange Static(const void* key, size_t bytes);
  // `warp_syncs`: how often the warp of `lane` has met in __syncwarp.
  void Touch(const SharedRange& range, const void* at, size_t bytes, Access access, const Lane& lane,
             uint32_t warp_syncs);

 private:
  // An access to some bytes of a word.
  struct Mark {
    uint32_t epoch = 0;
    uint32_t warp_syncs = 0;
    int16_t thread = 0;
    uint8_t bytes = 0;     // one bit each
    bool atomic = false;
    bool many = false;     // other lanes of its warp too
    bool many_warps = false;
  };
  struct Word {
    Mark write, read;
  };
  struct Named {
    const void* key;
    SharedRange range;
  };

  void TouchWord(size_t word, uint8_t byte_mask, Access access, const Lane& lane, uint32_t warp_syncs);
  bool Conflicts(const Mark& mark, uint8_t byte_mask, const Lane& lane) const;
  void MarkRead(Mark& mark, uint8_t byte_mask, const Lane& lane, uint32_t warp_syncs) const;

  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  std::vector<Word> words_;
  std::vector<Named> named_;
  size_t dynamic_bytes_ = 0, used_ = 0;
  uint32_t epoch_ = 0;
};

}  // namespace braid::simt
