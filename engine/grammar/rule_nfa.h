// One rule as a nondeterministic automaton with empty moves, state by state from its node.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "engine/grammar/grammar.h"

namespace braid {

struct NfaState {
  enum class Kind : uint8_t { kNone, kByte, kBytes, kTextByte, kCall, kMarker };
  Kind kind = Kind::kNone;
  int32_t label = 0;      // the byte, the index of the byte set, the rule, or the marker
  int32_t target = -1;    // behind it
  int32_t moves = -1;     // list of empty moves
};

struct RuleNfa {
  struct Move {
    int32_t target, next;
  };
  static constexpr size_t kMaxStates = size_t{1} << 20;

  std::vector<NfaState> states;
  std::vector<Move> moves;
  std::vector<ByteSet> byte_sets;
  int32_t start = 0, end = 0;

  int32_t Add() {
    states.emplace_back();
    return static_cast<int32_t>(states.size()) - 1;
  }
  void AddMove(int32_t from, int32_t to) {
    moves.push_back({to, states[from].moves});
    states[from].moves = static_cast<int32_t>(moves.size()) - 1;
  }
  // `from`, or a state behind it that has nothing yet.
  int32_t Fresh(int32_t from) {
    if (states[from].kind == NfaState::Kind::kNone && states[from].moves < 0) return from;
    const int32_t state = Add();
    AddMove(from, state);
    return state;
  }
  // Each adds a way on from `from` and returns where it ends.
  int32_t Label(int32_t from, NfaState::Kind kind, int32_t label) {
    const int32_t state = Fresh(from), target = Add();
    states[state].kind = kind;
    states[state].label = label;
    states[state].target = target;
    return target;
  }
  int32_t Text(int32_t from, std::string_view text, NfaState::Kind kind) {
    for (char c : text) from = Label(from, kind, static_cast<uint8_t>(c));
    return from;
  }
  int32_t Bytes(int32_t from, const ByteSet& bytes) {
    byte_sets.push_back(bytes);
    return Label(from, NfaState::Kind::kBytes, static_cast<int32_t>(byte_sets.size()) - 1);
  }
};

}  // namespace braid
