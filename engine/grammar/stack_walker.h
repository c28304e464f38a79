// The places in the automata where a text can stand, and the calls that led there. All places that read the same text
// go on together; calls of one rule at the same point of the text share a frame, so left recursion is one frame that
// returns to itself, and a call that is the last thing its rule does pushes none.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/grammar/automaton.h"

namespace braid {

// Where to go on after a rule: state `target` over frame `parent`; `more` is a further such pair. Of a counted rule also
// how many iterations are done: any number from low to high.
struct StackFrame {
  static constexpr int32_t kEndOfText = -1, kOutside = -2;  // as `target`: behind the root; not known here
  int32_t target, parent;
  int32_t more = -1;
  int32_t rule = -1;  // -1: not counted
  int32_t low = 0, high = 0;
};
using StackFrames = std::vector<StackFrame>;  // append-only within a step; frames refer to each other by index

struct StackPlace {
  int32_t state, frame;
  bool operator==(const StackPlace&) const = default;
};

// Moves places over bytes. Holds scratch memory only. Thread: one at a time.
class StackWalker {
 public:
  // More places than this at one point of a text (ambiguity piled on ambiguity), or too long a way to find them, count
  // as no place at all.
  static constexpr size_t kMaxPlaces = 8192;

  explicit StackWalker(const Automaton& automaton) : automaton_(automaton) {}

  // Moves all places over one byte; false: none is left. `to` is not `from`.
  bool Step(std::span<const StackPlace> from, uint8_t byte, ReadMode mode, StackFrames* frames,
            std::vector<StackPlace>* to);
  bool StepMarker(std::span<const StackPlace> from, int32_t marker, StackFrames* frames, std::vector<StackPlace>* to);

  // All places that calls and returns lead to before the next byte; `byte` < 0: whatever it is. Valid until the next
  // call of this object.
  std::span<const StackPlace> Expand(std::span<const StackPlace> from, int byte, ReadMode mode, StackFrames* frames);

  // Of the last call: the end of the text, or of what is known (kOutside), was reached.
  bool at_end() const { return at_end_; }
  bool left() const { return left_; }

  // Places looked at since the caller last set it.
  uint64_t work = 0;
  // The lowest frame returned through since the caller last set it.
  int32_t deepest = 0;

  // Takes out the frames that `places` no longer need.
  static void Compact(StackFrames* frames, std::vector<StackPlace>* places);

 private:
  bool StepOne(StackPlace place, uint8_t byte, ReadMode mode, std::vector<StackPlace>* to);
  void Visit(StackPlace place);
  bool Seen(StackPlace place);
  void Grow();
  void Call(const CallEdge& call, StackPlace place);
  void Return(int32_t frame, int byte, ReadMode mode);
  void Repeat(StackFrame frame);
  bool Join(StackFrame* frame, const StackFrame& other) const;
  void Reduce(StackFrame* frame) const;
  bool Finish(std::vector<StackPlace>* to);
  void Merge(std::vector<StackPlace>* places);
  bool MergeInto(StackPlace* kept, StackPlace place);
  bool SameFrame(int32_t a, int32_t b, int depth) const;

  const Automaton& automaton_;
  StackFrames* frames_ = nullptr;      // during a call
  int32_t first_new_ = 0;              // frames from here on are of this step
  std::vector<StackPlace> work_;
  bool at_end_ = false, left_ = false;

  struct RuleFrame {
    uint64_t step = 0;
    int32_t frame = -1;
  };
  std::vector<RuleFrame> rule_frames_;  // by rule: its frame of this step
  uint64_t step_ = 0;
  std::vector<int32_t> repeats_;        // frames of this step for one more iteration

  struct Slot {
    uint64_t step = 0;
    StackPlace place{};
  };
  std::vector<Slot> slots_;  // places seen, when there are many; size is a power of two
};

}  // namespace braid
