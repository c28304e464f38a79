#include "tests/simt/shared_memory.h"

#include <algorithm>
#include <cstring>

namespace braid::simt {
namespace {

constexpr size_t kAlignment = 128;
constexpr int kPoison = 0xff;  // a NaN in every float type

size_t Align(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

SharedMemory::SharedMemory()
    : bytes_(static_cast<std::byte*>(std::aligned_alloc(kAlignment, Align(kMaxSharedBytes)))),
      words_(Align(kMaxSharedBytes) / 4) {}

void SharedMemory::Begin(size_t dynamic_bytes) {
  if (dynamic_bytes > kMaxSharedBytes) Fail("%zu bytes of dynamic shared memory", dynamic_bytes);
  std::memset(bytes_.get(), kPoison, std::max(used_, dynamic_bytes));
  named_.clear();
  dynamic_bytes_ = dynamic_bytes;
  used_ = Align(dynamic_bytes);
  Barrier();
}

SharedRange SharedMemory::Static(const void* key, size_t bytes) {
  for (const Named& named : named_) {
    if (named.key == key) return named.range;
  }
  if (used_ + bytes > kMaxSharedBytes) Fail("%zu bytes of shared memory", used_ + bytes);
  const SharedRange range{bytes_.get() + used_, bytes_.get() + used_ + bytes};
  std::memset(range.begin, kPoison, bytes);
  used_ = Align(used_ + bytes);
  named_.push_back({key, range});
  return range;
}

void SharedMemory::Touch(const SharedRange& range, const void* at, size_t bytes, Access access, const Lane& lane,
                         uint32_t warp_syncs) {
  const auto* const first = static_cast<const std::byte*>(at);
  if (first < range.begin || first + bytes > range.end) {
    Fail("out of bounds of shared memory: %zu bytes at %td of %td", bytes, first - range.begin, range.end - range.begin);
  }
  const size_t begin = static_cast<size_t>(first - bytes_.get()), end = begin + bytes;
  for (size_t word = begin / 4; word * 4 < end; ++word) {
    const size_t low = std::max(begin, word * 4) - word * 4, high = std::min(end, word * 4 + 4) - word * 4;
    const uint8_t mask = static_cast<uint8_t>(((1u << high) - 1) & ~((1u << low) - 1));
    TouchWord(word, mask, access, lane, warp_syncs);
  }
}

bool SharedMemory::Conflicts(const Mark& mark, uint8_t byte_mask, const Lane& lane) const {
  if (mark.epoch != epoch_ || (mark.bytes & byte_mask) == 0) return false;
  if (mark.thread == lane.index && !mark.many && !mark.many_warps) return false;
  const bool same_warp = mark.thread / kWarpSize == lane.warp() && !mark.many_warps;
  return !(same_warp && lane.synced_at > mark.warp_syncs);
}

void SharedMemory::MarkRead(Mark& mark, uint8_t byte_mask, const Lane& lane, uint32_t warp_syncs) const {
  const bool fresh = mark.epoch != epoch_;
  const bool ordered = !fresh && !Conflicts(mark, 15, lane);
  if (fresh || ordered) {
    mark = {.epoch = epoch_, .warp_syncs = warp_syncs, .thread = static_cast<int16_t>(lane.index), .bytes = byte_mask};
    return;
  }
  mark.bytes |= byte_mask;
  mark.warp_syncs = std::max(mark.warp_syncs, warp_syncs);
  if (mark.thread / kWarpSize != lane.warp()) mark.many_warps = true;
  mark.many = true;
}

void SharedMemory::TouchWord(size_t index, uint8_t byte_mask, Access access, const Lane& lane, uint32_t warp_syncs) {
  Word& word = words_[index];
  const bool both_atomic = access == Access::kAtomic && word.write.atomic;
  if (!both_atomic && Conflicts(word.write, byte_mask, lane)) {
    Fail("race on shared memory: thread %d wrote the word at byte %zu and there is no barrier between", word.write.thread,
         index * 4);
  }
  if (access == Access::kRead) return MarkRead(word.read, byte_mask, lane, warp_syncs);
  if (Conflicts(word.read, byte_mask, lane)) {
    Fail("race on shared memory: thread %d read the word at byte %zu and there is no barrier between", word.read.thread,
         index * 4);
  }
  word.write = {.epoch = epoch_,
                .warp_syncs = warp_syncs,
                .thread = static_cast<int16_t>(lane.index),
                .bytes = byte_mask,
                .atomic = access == Access::kAtomic};
}

}  // namespace braid::simt
