// Puts a rule's automaton into an Automaton: deterministic where that stays small, else with the empty moves taken out.
#pragma once

#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "engine/grammar/automaton.h"
#include "engine/grammar/rule_nfa.h"

namespace braid {

class SubsetConstruction {
 public:
  static constexpr size_t kMaxStates = size_t{1} << 19;  // of a whole grammar
  static constexpr size_t kMaxEdges = size_t{1} << 22;

  SubsetConstruction(const RuleNfa& nfa, int32_t rule, Automaton* automaton);

  // Appends the states of the rule and sets its start. InvalidArgument when the grammar becomes too large.
  absl::Status Run();

 private:
  using Members = std::vector<int32_t>;  // states of the nfa, ascending

  bool Build(bool deterministic);  // false: too large
  bool TooLarge(bool deterministic) const;
  void Forget();
  int32_t Intern(const Members& targets);
  int32_t InternOne(int32_t target);
  void Expand(const Members& members, bool deterministic);
  void ExpandBytes(const Members& members, bool text, bool deterministic, std::vector<ByteEdge>* edges);
  void Spread(const NfaState& state);
  void Collect(std::vector<ByteEdge>* edges);
  void Separate(const NfaState& state, std::vector<ByteEdge>* edges);
  void ExpandCalls(const Members& members, bool deterministic);
  bool OnlyEnd(int32_t state) const { return keys_[state - first_state_].size() == 1 && keys_[state - first_state_][0] == nfa_.end; }

  const RuleNfa& nfa_;
  const int32_t rule_;
  Automaton& automaton_;
  const int32_t first_state_;
  const size_t edges_, text_edges_, calls_, markers_;  // of the automaton before this rule
  absl::flat_hash_map<Members, int32_t> states_;
  std::vector<Members> keys_;
  std::vector<int32_t> ones_;  // by nfa state: what InternOne found, or -1
  size_t total_members_ = 0;
  std::vector<uint32_t> seen_;
  uint32_t epoch_ = 0;
  Members stack_, closure_;
  std::vector<Members> by_byte_;
  ByteSet touched_;
};

}  // namespace braid
