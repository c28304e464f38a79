#include "engine/grammar/mask_fill.h"

#include <algorithm>
#include <limits>

namespace braid {
namespace {

constexpr uint64_t kMaxWork = 4'000'000;  // places looked at in one mask: half a second or so
constexpr size_t kMaxChain = 8;

}  // namespace

void MaskFill::Fill(std::span<const StackPlace> places, StackWalker* walker, StackFrames* frames,
                    std::span<uint32_t> words) {
  walker_ = walker;
  frames_ = frames;
  words_ = words;
  wide_ = false;
  budget_ = kMaxWork;
  walker->work = 0;
  std::fill(words.begin(), words.end(), 0);
  const size_t num_frames = frames->size();
  const std::span<const StackPlace> all = walker->Expand(places, -1, ReadMode::kToken, frames);
  places_.assign(all.begin(), all.end());
  if (walker->at_end()) {
    for (int32_t id : vocabulary_.end_ids()) Set(id);
  }
  std::sort(places_.begin(), places_.end(), [](StackPlace a, StackPlace b) { return a.state < b.state; });
  for (size_t begin = 0, end; begin < places_.size(); begin = end) {
    for (end = begin; end < places_.size() && places_[end].state == places_[begin].state;) ++end;
    FillState({places_.data() + begin, end - begin});
  }
  frames->resize(num_frames);
  if (!wide_) return;
  WalkTrie(vocabulary_.trie(), places, kMaxWork, walker, frames, &levels_, [&](int node) {
    const ByteTrie& trie = vocabulary_.trie();
    for (int32_t i = trie[node].entry; i < trie.OwnEnd(node); ++i) Set(vocabulary_.ordered()[i]);
  });
}

// Adds what the places that share a state allow.
void MaskFill::FillState(std::span<const StackPlace> run) {
  const int32_t state = run[0].state;
  for (const MarkerEdge& edge : automaton_.MarkersOf(state)) {
    for (int32_t id : automaton_.marker_ids[edge.marker]) Set(id);
  }
  if (automaton_.EdgesOf(state).empty()) return;
  const std::shared_ptr<const LocalMask> mask = cache_.Local(state, &budget_);
  if (mask == nullptr || mask->wide) {
    wide_ = true;
    return;
  }
  AddStaying(*mask, run);
  if (mask->exit_tokens.empty()) return;
  if (!automaton_.rules[automaton_.states[state].rule].single_path) return AddLeaving(*mask, run);
  for (const StackPlace& place : run) AddLeaving(*mask, {&place, 1});
}

void MaskFill::AddStaying(const LocalMask& mask, std::span<const StackPlace> run) {
  const AutomatonRule& rule = automaton_.rules[automaton_.states[run[0].state].rule];
  if (rule.single_path && rule.max >= 0) {
    int32_t most = 0;  // iterations that may still begin
    for (const StackPlace& place : run) most = std::max(most, rule.max - 1 - (*frames_)[place.frame].low);
    if (most + 1 < static_cast<int32_t>(mask.count_ends.size())) return AddCounted(mask, most);
  }
  for (size_t i = 0; i < mask.bits.size(); ++i) words_[i] |= mask.bits[i];
  if (mask.bits.empty()) {
    for (int32_t id : mask.ids) Set(id);
  }
}

// Adds the tokens that begin at most `most` iterations, or takes the others out of all: whichever are fewer.
void MaskFill::AddCounted(const LocalMask& mask, int32_t most) {
  const auto end = static_cast<size_t>(mask.count_ends[most]);
  if (mask.bits.empty() || end <= mask.ids.size() / 2) {
    for (size_t i = 0; i < end; ++i) Set(mask.ids[i]);
    return;
  }
  bits_ = mask.bits;
  for (size_t i = end; i < mask.ids.size(); ++i) bits_[mask.ids[i] / 32] &= ~(uint32_t{1} << mask.ids[i] % 32);
  for (size_t i = 0; i < bits_.size(); ++i) words_[i] |= bits_[i];
}

// Adds the tokens that leave the rule and whose rest the stack can read.
void MaskFill::AddLeaving(const LocalMask& mask, std::span<const StackPlace> run) {
  const StackPlace place = run[0];
  const bool counted = automaton_.rules[automaton_.states[place.state].rule].single_path;
  const StackFrame top = (*frames_)[place.frame];
  std::vector<int32_t> targets;
  if (run.size() == 1) targets = ChainOf(place, counted);
  if (const auto known = cache_.FindExits(place.state, targets)) {
    return AddExits(mask, *known, counted ? &top : nullptr);
  }
  returns_.clear();
  walker_->deepest = std::numeric_limits<int32_t>::max();
  if (counted) {
    walker_->deepest = place.frame;
    for (int32_t at = place.frame; at >= 0; at = (*frames_)[at].more) {
      if ((*frames_)[at].target >= 0) returns_.push_back({(*frames_)[at].target, (*frames_)[at].parent});
    }
  } else {
    for (const StackPlace& one : run) returns_.push_back({Automaton::kPopState, one.frame});
  }
  ExitRanges ranges;
  const bool whole = WalkTrie(mask.exits, returns_, kMaxWork, walker_, frames_, &levels_, [&](int node) {
    const int32_t begin = mask.exits[node].entry, end = mask.exits.OwnEnd(node);
    if (begin < end) ranges.emplace_back(begin, end);
  });
  AddExits(mask, ranges, counted ? &top : nullptr);
  if (whole) Keep(place, std::move(targets), std::move(ranges));
}

void MaskFill::AddExits(const LocalMask& mask, const ExitRanges& ranges, const StackFrame* counted) {
  const AutomatonRule* rule = counted != nullptr ? &automaton_.rules[counted->rule] : nullptr;
  // Of the counts low to high there must be one that allows both to begin `count` iterations more and to end then.
  const auto fits = [&](int32_t count) {
    if (rule == nullptr) return true;
    if (rule->max < 0) return counted->high + count + 1 >= rule->min;
    return std::max(counted->low, rule->min - count - 1) <= std::min(counted->high, rule->max - 1 - count);
  };
  for (const auto& [begin, end] : ranges) {
    for (int32_t i = begin; i < end; ++i) {
      const auto [id, count] = mask.exit_tokens[i];
      if (fits(count)) Set(id);
    }
  }
}

// The states that returns from `place` lead to one after another, as far as they are certain.
std::vector<int32_t> MaskFill::ChainOf(StackPlace place, bool counted) {
  std::vector<int32_t> targets;
  chain_.clear();
  for (int32_t at = place.frame; at >= 0 && chain_.size() < kMaxChain;) {
    const StackFrame& frame = (*frames_)[at];
    if (frame.more >= 0 || (frame.rule >= 0 && !(counted && chain_.empty()))) break;
    chain_.push_back(at);
    targets.push_back(frame.target);
    at = frame.parent;
  }
  return targets;
}

// Keeps the ranges under as many targets as the walk looked at.
void MaskFill::Keep(StackPlace place, std::vector<int32_t> targets, ExitRanges ranges) {
  const auto found = std::find(chain_.begin(), chain_.end(), walker_->deepest);
  if (targets.empty() || found == chain_.end()) return;
  targets.resize(found - chain_.begin() + 1);
  cache_.KeepExits(place.state, std::move(targets), std::make_shared<const ExitRanges>(std::move(ranges)));
}

}  // namespace braid
