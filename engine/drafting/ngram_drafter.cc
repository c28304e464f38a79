#include "engine/drafting/ngram_drafter.h"

#include <algorithm>

namespace braid {
namespace {

constexpr size_t kSlice = 4096;  // tokens indexed in one call

}  // namespace

NgramDrafter::NgramDrafter(std::span<const int32_t> prompt) : tokens_(prompt.begin(), prompt.end()) {}

// Of the `length` tokens before position `end`.
uint64_t NgramDrafter::KeyOf(size_t end, int length) const {
  uint64_t key = static_cast<uint64_t>(length) * 0xff51afd7ed558ccdu;
  for (size_t i = end - length; i < end; ++i) {
    key = (key ^ static_cast<uint32_t>(tokens_[i])) * 0x9e3779b97f4a7c15u;
    key ^= key >> 32;
  }
  return key;
}

void NgramDrafter::Index() {
  const size_t stop = std::min(num_indexed_ + kSlice, tokens_.size());
  for (size_t end = num_indexed_; end < stop; ++end) {
    for (int length = kShortest; length <= kLongest && length <= static_cast<int>(end); ++length) {
      ends_[KeyOf(end, length)] = static_cast<uint32_t>(end);
    }
  }
  num_indexed_ = stop;
}

// The position behind the occurrence, 0: there is none.
size_t NgramDrafter::FindContinuation() const {
  const size_t size = tokens_.size();
  for (int length = kLongest; length >= kShortest; --length) {
    if (static_cast<int>(size) <= length) continue;
    const auto found = ends_.find(KeyOf(size, length));
    if (found == ends_.end()) continue;
    const auto earlier = tokens_.begin() + found->second - length;  // hashes may collide
    if (std::equal(earlier, earlier + length, tokens_.end() - length)) return found->second;
  }
  return 0;
}

std::vector<int32_t> NgramDrafter::Propose(int count) {
  Index();
  std::vector<int32_t> drafts;
  const size_t begin = FindContinuation();
  if (begin == 0) return drafts;
  const size_t period = tokens_.size() - begin;
  drafts.reserve(count);
  for (int i = 0; i < count; ++i) {
    drafts.push_back(tokens_[begin + static_cast<size_t>(i) % period]);
  }
  return drafts;
}

}  // namespace braid
