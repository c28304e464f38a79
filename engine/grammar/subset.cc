#include "engine/grammar/subset.h"

#include <algorithm>
#include <map>

#include "kernels/base/errors.h"

namespace braid {

using Kind = NfaState::Kind;

SubsetConstruction::SubsetConstruction(const RuleNfa& nfa, int32_t rule, Automaton* automaton)
    : nfa_(nfa), rule_(rule), automaton_(*automaton), first_state_(static_cast<int32_t>(automaton->states.size())),
      edges_(automaton->edges.size()), text_edges_(automaton->text_edges.size()), calls_(automaton->calls.size()),
      markers_(automaton->marker_edges.size()), ones_(nfa.states.size(), -1), seen_(nfa.states.size()), by_byte_(256) {}

absl::Status SubsetConstruction::Run() {
  if (Build(true)) return absl::OkStatus();
  Forget();
  automaton_.rules[rule_].deterministic = false;
  if (Build(false)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("grammar is too large: at most ", kMaxStates, " states and ", kMaxEdges, " edges between them"));
}

bool SubsetConstruction::Build(bool deterministic) {
  automaton_.rules[rule_].start = Intern({nfa_.start});
  for (size_t i = 0; i < keys_.size(); ++i) {
    const Members members = keys_[i];
    automaton_.states.push_back({.edges = static_cast<int32_t>(automaton_.edges.size()),
                                 .text_edges = static_cast<int32_t>(automaton_.text_edges.size()),
                                 .calls = static_cast<int32_t>(automaton_.calls.size()),
                                 .markers = static_cast<int32_t>(automaton_.marker_edges.size()),
                                 .rule = rule_, .dense = -1, .loop_classes = 0,
                                 .final = std::binary_search(members.begin(), members.end(), nfa_.end)});
    Expand(members, deterministic);
    if (TooLarge(deterministic)) return false;
  }
  for (size_t i = calls_; i < automaton_.calls.size(); ++i) {
    CallEdge& call = automaton_.calls[i];
    call.tail = OnlyEnd(call.target);  // the builder takes it back for counted rules
  }
  return true;
}

bool SubsetConstruction::TooLarge(bool deterministic) const {
  const size_t states = keys_.size();
  if (first_state_ + states > kMaxStates || automaton_.edges.size() > kMaxEdges) return true;
  const size_t n = nfa_.states.size();
  return deterministic && (states > 4 * n + 1000 || total_members_ > 64 * n + 100000);
}

void SubsetConstruction::Forget() {
  automaton_.states.resize(first_state_);
  automaton_.edges.resize(edges_);
  automaton_.text_edges.resize(text_edges_);
  automaton_.calls.resize(calls_);
  automaton_.marker_edges.resize(markers_);
  states_.clear();
  keys_.clear();
  ones_.assign(nfa_.states.size(), -1);
  total_members_ = 0;
}

// A set of one, behind the empty moves that leave no choice: the ends of many words are one such state.
int32_t SubsetConstruction::InternOne(int32_t target) {
  while (target != nfa_.end && nfa_.states[target].kind == Kind::kNone && nfa_.states[target].moves >= 0 &&
         nfa_.moves[nfa_.states[target].moves].next < 0) {
    target = nfa_.moves[nfa_.states[target].moves].target;
  }
  if (ones_[target] >= 0) return ones_[target];
  const int32_t state = Intern({target, target});
  return ones_[target] = state;
}

int32_t SubsetConstruction::Intern(const Members& targets) {
  if (targets.size() == 1) return InternOne(targets[0]);
  ++epoch_;
  closure_.clear();
  stack_ = targets;
  while (!stack_.empty()) {
    const int32_t s = stack_.back();
    stack_.pop_back();
    if (seen_[s] == epoch_) continue;
    seen_[s] = epoch_;
    if (nfa_.states[s].kind != Kind::kNone || s == nfa_.end) closure_.push_back(s);
    for (int32_t move = nfa_.states[s].moves; move >= 0; move = nfa_.moves[move].next) {
      stack_.push_back(nfa_.moves[move].target);
    }
  }
  std::sort(closure_.begin(), closure_.end());
  const auto [place, added] = states_.try_emplace(closure_, first_state_ + static_cast<int32_t>(keys_.size()));
  if (added) {
    keys_.push_back(closure_);
    total_members_ += closure_.size();
  }
  return place->second;
}

void SubsetConstruction::Expand(const Members& members, bool deterministic) {
  ExpandBytes(members, false, deterministic, &automaton_.edges);
  ExpandBytes(members, true, deterministic, &automaton_.text_edges);
  ExpandCalls(members, deterministic);
}

void SubsetConstruction::ExpandBytes(const Members& members, bool text, bool deterministic,
                                     std::vector<ByteEdge>* edges) {
  const size_t begin = edges->size();
  for (int32_t member : members) {
    const NfaState& state = nfa_.states[member];
    const bool wanted = text ? state.kind == Kind::kTextByte : state.kind == Kind::kByte || state.kind == Kind::kBytes;
    if (!wanted) continue;
    if (deterministic) Spread(state);
    else Separate(state, edges);
  }
  if (deterministic) Collect(edges);
  std::sort(edges->begin() + static_cast<ptrdiff_t>(begin), edges->end(),
            [](const ByteEdge& a, const ByteEdge& b) { return a.low < b.low; });
}

void SubsetConstruction::Spread(const NfaState& state) {
  if (state.kind != Kind::kBytes) {
    touched_.set(state.label);
    by_byte_[state.label].push_back(state.target);
    return;
  }
  const ByteSet& bytes = nfa_.byte_sets[state.label];
  touched_ |= bytes;
  for (size_t b = bytes._Find_first(); b < 256; b = bytes._Find_next(b)) by_byte_[b].push_back(state.target);
}

void SubsetConstruction::Collect(std::vector<ByteEdge>* edges) {
  size_t last = 256;  // the byte before, when it has an edge
  for (size_t b = touched_._Find_first(); b < 256; b = touched_._Find_next(b)) {
    if (last + 1 == b && by_byte_[last] == by_byte_[b]) {
      edges->back().high = static_cast<uint8_t>(b);
    } else {
      const auto byte = static_cast<uint8_t>(b);
      edges->push_back({byte, byte, Intern(by_byte_[b])});
    }
    if (last < 256) by_byte_[last].clear();
    last = b;
  }
  if (last < 256) by_byte_[last].clear();
  touched_.reset();
}

void SubsetConstruction::Separate(const NfaState& state, std::vector<ByteEdge>* edges) {
  const int32_t target = Intern({state.target});
  if (state.kind != Kind::kBytes) {
    edges->push_back({static_cast<uint8_t>(state.label), static_cast<uint8_t>(state.label), target});
    return;
  }
  const ByteSet& bytes = nfa_.byte_sets[state.label];
  size_t last = 256;
  for (size_t b = bytes._Find_first(); b < 256; b = bytes._Find_next(b)) {
    const auto byte = static_cast<uint8_t>(b);
    if (last + 1 == b) edges->back().high = byte;
    else edges->push_back({byte, byte, target});
    last = b;
  }
}

void SubsetConstruction::ExpandCalls(const Members& members, bool deterministic) {
  std::map<std::pair<Kind, int32_t>, Members> targets;
  for (int32_t member : members) {
    const NfaState& state = nfa_.states[member];
    if (state.kind == Kind::kCall || state.kind == Kind::kMarker) targets[{state.kind, state.label}].push_back(state.target);
  }
  const auto add = [&](Kind kind, int32_t label, int32_t target) {
    if (kind == Kind::kCall) automaton_.calls.push_back({label, target, false});
    else automaton_.marker_edges.push_back({label, target});
  };
  for (const auto& [key, list] : targets) {
    if (deterministic) {
      add(key.first, key.second, Intern(list));
    } else {
      for (int32_t target : list) add(key.first, key.second, Intern({target}));
    }
  }
}

}  // namespace braid
