// A grammar as one finite automaton over bytes per rule, with calls between them. Text mode matches markers by their
// bytes; token mode by special tokens only.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "engine/grammar/grammar.h"

namespace braid {

enum class ReadMode : uint8_t { kToken, kText };

// States, rules and markers by index. An automaton has no states from which the end cannot be reached.
struct ByteEdge {
  uint8_t low, high;
  int32_t target;
};

// At `rule`, then on at `target`. A rule that matches the empty text is also stepped over: the caller's state already
// stands for that.
struct CallEdge {
  int32_t rule, target;
  bool tail;  // nothing is left to do at `target`: the callee returns to the caller's caller
};

struct MarkerEdge {
  int32_t marker, target;
};

struct AutomatonState {
  int32_t edges, text_edges, calls, markers;  // where its own begin; they end where the next state's begin
  int32_t rule;                               // whose automaton it is part of; -1: kPopState
  int32_t dense;                              // its row of 256 targets, or -1
  uint32_t loop_classes;                      // the ByteClasses all of whose bytes lead back here
  bool final;
};

// What is called: a rule of the grammar or a repeat kept apart from it. A counted rule is called for its first
// iteration; the stack keeps the count, and what follows an iteration is another one or the return.
struct AutomatonRule {
  int32_t start = -1;
  bool counted = false;
  bool deterministic = true;  // at most one edge per byte in every state
  bool pure = true;           // nothing goes on from a final state
  bool single_path = false;   // counted, without calls, and every text has at most one split into iterations
  int32_t min = 0, max = -1;  // iterations, when counted; max -1: any number
  ByteSet first[2];           // by ReadMode: the first byte of a text of the rule
  ByteSet follow[2];          // a byte after the whole rule
  ByteSet pass[2];            // a byte with which a text of the rule (or one iteration) may be over; all when pure
  uint32_t pass_classes = 0;  // the ByteClasses with a byte in pass[kToken]
};

// Immutable. Thread: any.
struct Automaton {
  static constexpr int32_t kPopState = 0;  // final, no way on: whoever stands here only returns
  static constexpr int32_t kRootRule = 0;

  std::vector<AutomatonState> states;  // and one behind the last
  std::vector<ByteEdge> edges, text_edges;
  std::vector<CallEdge> calls;
  std::vector<MarkerEdge> marker_edges;
  std::vector<int32_t> dense;  // rows of 256
  std::vector<AutomatonRule> rules;
  std::vector<std::vector<int32_t>> marker_ids;  // the special tokens of a marker
  absl::flat_hash_map<int32_t, int32_t> marker_of_id;

  int num_states() const { return static_cast<int>(states.size()) - 1; }
  std::span<const ByteEdge> EdgesOf(int32_t s) const { return Slice(edges, states[s].edges, states[s + 1].edges); }
  std::span<const ByteEdge> TextEdgesOf(int32_t s) const {
    return Slice(text_edges, states[s].text_edges, states[s + 1].text_edges);
  }
  std::span<const CallEdge> CallsOf(int32_t s) const { return Slice(calls, states[s].calls, states[s + 1].calls); }
  std::span<const MarkerEdge> MarkersOf(int32_t s) const {
    return Slice(marker_edges, states[s].markers, states[s + 1].markers);
  }
  bool Deterministic(int32_t s) const { return states[s].rule < 0 || rules[states[s].rule].deterministic; }

  // The state after `byte` by the state's own edges, or -1. Deterministic states only.
  int32_t Next(int32_t s, uint8_t byte) const {
    const int32_t row = states[s].dense;
    if (row >= 0) return dense[row * 256 + byte];
    for (const ByteEdge& edge : EdgesOf(s)) {
      if (byte >= edge.low && byte <= edge.high) return edge.target;
    }
    return -1;
  }

  // Whether a text may be over at state `s` when `byte` follows.
  bool Passes(int32_t s, int byte, ReadMode mode) const {
    const AutomatonState& state = states[s];
    return state.final && (state.rule < 0 || byte < 0 || rules[state.rule].pass[static_cast<int>(mode)][byte]);
  }

 private:
  template <class T>
  static std::span<const T> Slice(const std::vector<T>& all, int32_t begin, int32_t end) {
    return {all.data() + begin, static_cast<size_t>(end - begin)};
  }
};

}  // namespace braid
