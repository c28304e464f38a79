#include "engine/grammar/mask_cache.h"

#include <algorithm>

#include "kernels/base/clock.h"

namespace braid {

std::shared_ptr<const LocalMask> MaskCache::Local(int32_t state, uint64_t* budget) {
  {
    std::lock_guard lock(mutex_);
    if (local_[state] != nullptr) return local_[state];
    if (*budget == 0) return nullptr;
  }
  const std::string key = LocalMaskKey(automaton_, state);
  std::shared_ptr<const LocalMask> mask = key.empty() ? nullptr : vocabulary_.shared_masks().Find(key);
  if (mask == nullptr) {
    mask = std::make_shared<const LocalMask>(ComputeLocalMask(automaton_, vocabulary_, state));
    *budget -= std::min(*budget, mask->work);
    if (!key.empty()) vocabulary_.shared_masks().Keep(key, mask);
  }
  std::lock_guard lock(mutex_);
  if (bytes_ > kMaxBytes) {
    std::fill(local_.begin(), local_.end(), nullptr);
    bytes_ = 0;
  }
  bytes_ += mask->bytes();
  return local_[state] = std::move(mask);
}

std::shared_ptr<const ExitRanges> MaskCache::FindExits(int32_t state, const std::vector<int32_t>& targets) const {
  std::vector<int32_t> key{state};
  std::lock_guard lock(mutex_);
  for (int32_t target : targets) {
    key.push_back(target);
    const auto found = exits_.find(key);
    if (found != exits_.end()) return found->second;
  }
  return nullptr;
}

void MaskCache::KeepExits(int32_t state, std::vector<int32_t> targets, std::shared_ptr<const ExitRanges> ranges) {
  targets.insert(targets.begin(), state);
  std::lock_guard lock(mutex_);
  if (exits_.size() >= kMaxExits) exits_.clear();
  exits_[std::move(targets)] = std::move(ranges);
}

void MaskCache::Warm(int64_t budget_ns) {
  const SteadyClock clock;
  const int64_t end = clock.NowNs() + budget_ns;
  uint64_t budget = 100'000;
  std::vector<std::pair<int, int32_t>> states;  // (bytes that lead on, state)
  for (int32_t s = 0; s < automaton_.num_states(); ++s) {
    int bytes = 0;
    for (const ByteEdge& edge : automaton_.EdgesOf(s)) bytes += edge.high - edge.low + 1;
    const bool start = automaton_.states[s].rule >= 0 && automaton_.rules[automaton_.states[s].rule].start == s;
    if (bytes > 8 || (start && bytes > 0)) states.emplace_back(-bytes, s);
  }
  std::sort(states.begin(), states.end());
  for (const auto& [order, state] : states) {
    if (clock.NowNs() >= end) return;
    Local(state, &budget);
  }
}

}  // namespace braid
