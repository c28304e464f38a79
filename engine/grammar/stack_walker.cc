#include "engine/grammar/stack_walker.h"

#include <algorithm>
#include <tuple>

namespace braid {
namespace {

constexpr uint64_t kMaxVisits = size_t{1} << 18;  // places looked at before one byte, the same ones again included
constexpr size_t kFew = 16;        // places up to here are searched one by one
constexpr int kSameDepth = 8;      // how deep two frames are compared
constexpr size_t kMergeWindow = 8; // how many kept places a place is compared with

uint64_t Key(StackPlace place) {
  return static_cast<uint64_t>(static_cast<uint32_t>(place.state)) << 32 | static_cast<uint32_t>(place.frame);
}

}  // namespace

bool StackWalker::Step(std::span<const StackPlace> from, uint8_t byte, ReadMode mode, StackFrames* frames,
                       std::vector<StackPlace>* to) {
  to->clear();
  at_end_ = left_ = false;
  if (from.size() == 1 && StepOne(from[0], byte, mode, to)) {
    ++work;
    return !to->empty();
  }
  Expand(from, byte, mode, frames);
  const auto take = [&](std::span<const ByteEdge> edges, int32_t frame) {
    for (const ByteEdge& edge : edges) {
      if (byte >= edge.low && byte <= edge.high) to->push_back({edge.target, frame});
    }
  };
  for (const StackPlace& place : work_) {
    if (automaton_.states[place.state].dense >= 0) {
      const int32_t target = automaton_.Next(place.state, byte);
      if (target >= 0) to->push_back({target, place.frame});
    } else {
      take(automaton_.EdgesOf(place.state), place.frame);
    }
    if (mode == ReadMode::kText) take(automaton_.TextEdgesOf(place.state), place.frame);
  }
  return Finish(to);
}

// The common case: one place, and the byte is its own state's affair.
bool StackWalker::StepOne(StackPlace place, uint8_t byte, ReadMode mode, std::vector<StackPlace>* to) {
  const int32_t s = place.state;
  if (!automaton_.CallsOf(s).empty() || !automaton_.Deterministic(s) || automaton_.Passes(s, byte, mode)) return false;
  if (mode == ReadMode::kText && !automaton_.TextEdgesOf(s).empty()) return false;
  const int32_t target = automaton_.Next(s, byte);
  if (target >= 0) to->push_back({target, place.frame});
  return true;
}

bool StackWalker::StepMarker(std::span<const StackPlace> from, int32_t marker, StackFrames* frames,
                             std::vector<StackPlace>* to) {
  to->clear();
  Expand(from, -1, ReadMode::kToken, frames);
  for (const StackPlace& place : work_) {
    for (const MarkerEdge& edge : automaton_.MarkersOf(place.state)) {
      if (edge.marker == marker) to->push_back({edge.target, place.frame});
    }
  }
  return Finish(to);
}

std::span<const StackPlace> StackWalker::Expand(std::span<const StackPlace> from, int byte, ReadMode mode,
                                                StackFrames* frames) {
  frames_ = frames;
  first_new_ = static_cast<int32_t>(frames->size());
  at_end_ = left_ = false;
  ++step_;
  work_.clear();
  repeats_.clear();
  rule_frames_.resize(automaton_.rules.size());
  for (const StackPlace& place : from) Visit(place);
  const uint64_t most_work = work + kMaxVisits;
  const auto within = [&] { return work_.size() <= kMaxPlaces && work <= most_work; };
  for (size_t i = 0; i < work_.size() && within(); ++i) {
    const StackPlace place = work_[i];
    for (const CallEdge& call : automaton_.CallsOf(place.state)) {
      if (byte < 0 || automaton_.rules[call.rule].first[static_cast<int>(mode)][byte]) Call(call, place);
    }
    // What was called at this very point matched the empty text: its caller's state stands for that.
    if (place.frame < first_new_ && automaton_.Passes(place.state, byte, mode)) Return(place.frame, byte, mode);
  }
  if (!within()) work_.clear();
  return work_;
}

void StackWalker::Visit(StackPlace place) {
  ++work;
  if (!Seen(place)) work_.push_back(place);
}

bool StackWalker::Seen(StackPlace place) {
  if (work_.size() < kFew) return std::find(work_.begin(), work_.end(), place) != work_.end();
  if (work_.size() == kFew || work_.size() * 2 >= slots_.size()) Grow();
  const size_t mask = slots_.size() - 1;
  for (size_t i = (Key(place) * 0x9E3779B97F4A7C15u >> 32) & mask;; i = (i + 1) & mask) {
    if (slots_[i].step != step_) {
      slots_[i] = {step_, place};
      return false;
    }
    if (slots_[i].place == place) return true;
  }
}

// Puts the places of this step into the slots, at most half full.
void StackWalker::Grow() {
  if (work_.size() * 2 >= slots_.size()) slots_.assign(std::max<size_t>(64, slots_.size() * 2), Slot());
  const size_t mask = slots_.size() - 1;
  for (const StackPlace& place : work_) {
    size_t i = (Key(place) * 0x9E3779B97F4A7C15u >> 32) & mask;
    while (slots_[i].step == step_ && slots_[i].place != place) i = (i + 1) & mask;
    slots_[i] = {step_, place};
  }
}

void StackWalker::Call(const CallEdge& call, StackPlace place) {
  const AutomatonRule& rule = automaton_.rules[call.rule];
  if (call.tail) return Visit({rule.start, place.frame});
  RuleFrame& mine = rule_frames_[call.rule];
  const auto frame = static_cast<int32_t>(frames_->size());
  if (mine.step != step_) {
    mine = {step_, frame};
    frames_->push_back({.target = call.target, .parent = place.frame, .rule = rule.counted ? call.rule : -1});
    return Visit({rule.start, frame});
  }
  const StackFrame known = (*frames_)[mine.frame];
  if (known.target == call.target && known.parent == place.frame) return;
  frames_->push_back({.target = call.target, .parent = place.frame, .more = known.more});
  (*frames_)[mine.frame].more = frame;
}

void StackWalker::Return(int32_t frame, int byte, ReadMode mode) {
  const StackFrame top = (*frames_)[frame];
  deepest = std::min(deepest, frame);
  if (top.target < 0) {
    (top.target == StackFrame::kEndOfText ? at_end_ : left_) = true;
    return;
  }
  if (top.rule >= 0) {
    const AutomatonRule& rule = automaton_.rules[top.rule];
    if (byte < 0 || rule.first[static_cast<int>(mode)][byte]) Repeat(top);
    if (top.high + 1 < rule.min) return;
  }
  for (int32_t at = frame; at >= 0;) {
    const StackFrame& way = (*frames_)[at];
    at = way.more;
    Visit({way.target, way.parent});
  }
}

// Starts one more iteration of a counted rule whose last one is over.
void StackWalker::Repeat(StackFrame frame) {
  const AutomatonRule& rule = automaton_.rules[frame.rule];
  ++frame.low;
  ++frame.high;
  if (rule.max >= 0) frame.high = std::min(frame.high, rule.max - 1);
  if (frame.low > frame.high) return;
  Reduce(&frame);
  const size_t begin = repeats_.size() > kMergeWindow ? repeats_.size() - kMergeWindow : 0;
  for (size_t i = begin; i < repeats_.size(); ++i) {
    StackFrame& known = (*frames_)[repeats_[i]];
    if (known.parent == frame.parent && known.more == frame.more && Join(&known, frame)) return;
  }
  repeats_.push_back(static_cast<int32_t>(frames_->size()));
  frames_->push_back(frame);
  Visit({rule.start, repeats_.back()});
}

// Once there are enough iterations, fewer allow all that more do: of the counts from min on the least is kept.
void StackWalker::Reduce(StackFrame* frame) const {
  const AutomatonRule& rule = automaton_.rules[frame->rule];
  if (frame->low >= rule.min) {
    if (rule.max < 0) frame->low = rule.min;
    frame->high = frame->low;
  } else {
    frame->high = std::min(frame->high, rule.min);
  }
}

// Takes the counts of `other` into `frame` when they overlap or touch.
bool StackWalker::Join(StackFrame* frame, const StackFrame& other) const {
  if (frame->rule != other.rule || frame->target != other.target) return false;
  if (other.low > frame->high + 1 || frame->low > other.high + 1) {
    const int32_t min = automaton_.rules[frame->rule].min;
    if (frame->low < min || other.low < min) return false;  // else one includes the other
  }
  frame->low = std::min(frame->low, other.low);
  frame->high = std::max(frame->high, other.high);
  Reduce(frame);
  return true;
}

bool StackWalker::Finish(std::vector<StackPlace>* to) {
  if (to->size() > 1) Merge(to);
  if (to->size() > kMaxPlaces) to->clear();
  return !to->empty();
}

// Makes places that go on alike one.
void StackWalker::Merge(std::vector<StackPlace>* places) {
  // Those that may be joined side by side: same state, same way back, counts ascending.
  const auto order = [&](StackPlace place) {
    const StackFrame& frame = (*frames_)[place.frame];
    return std::tuple(place.state, frame.rule, frame.target, frame.more, frame.parent, frame.low, place.frame);
  };
  std::sort(places->begin(), places->end(), [&](StackPlace a, StackPlace b) { return order(a) < order(b); });
  size_t kept = 0;
  for (size_t i = 0; i < places->size(); ++i) {
    const StackPlace place = (*places)[i];
    bool merged = false;
    for (size_t k = kept; k-- > 0 && kept - k <= kMergeWindow && (*places)[k].state == place.state && !merged;) {
      merged = MergeInto(&(*places)[k], place);
    }
    if (!merged) (*places)[kept++] = place;
  }
  places->resize(kept);
}

bool StackWalker::MergeInto(StackPlace* kept, StackPlace place) {
  if (SameFrame(kept->frame, place.frame, 0)) return true;
  StackFrame joined = (*frames_)[kept->frame];
  const StackFrame& other = (*frames_)[place.frame];
  if (joined.rule < 0 || joined.more != other.more || !SameFrame(joined.parent, other.parent, 0)) return false;
  if (!Join(&joined, other)) return false;
  kept->frame = static_cast<int32_t>(frames_->size());
  frames_->push_back(joined);
  return true;
}

bool StackWalker::SameFrame(int32_t a, int32_t b, int depth) const {
  for (; a != b; ++depth) {
    const StackFrame &x = (*frames_)[a], &y = (*frames_)[b];
    if (depth == kSameDepth || x.target < 0 || x.target != y.target || x.more >= 0 || y.more >= 0) return false;
    if (x.rule != y.rule || x.low != y.low || x.high != y.high) return false;
    a = x.parent;
    b = y.parent;
  }
  return true;
}

void StackWalker::Compact(StackFrames* frames, std::vector<StackPlace>* places) {
  std::vector<int32_t> place_of(frames->size(), -1), open{0};
  for (const StackPlace& place : *places) open.push_back(place.frame);
  while (!open.empty()) {
    const int32_t frame = open.back();
    open.pop_back();
    if (frame < 0 || place_of[frame] >= 0) continue;
    place_of[frame] = 0;
    open.push_back((*frames)[frame].parent);
    open.push_back((*frames)[frame].more);
  }
  int32_t kept = 0;
  for (size_t i = 0; i < frames->size(); ++i) {
    if (place_of[i] < 0) continue;
    place_of[i] = kept;
    (*frames)[kept++] = (*frames)[i];
  }
  frames->resize(kept);
  for (StackFrame& frame : *frames) {
    if (frame.parent >= 0) frame.parent = place_of[frame.parent];
    if (frame.more >= 0) frame.more = place_of[frame.more];
  }
  for (StackPlace& place : *places) place.frame = place_of[place.frame];
}

}  // namespace braid
