// First and follow sets by worklist: a rule is looked at again only when a set it depends on grew.
#include <algorithm>
#include <array>

#include "engine/grammar/automaton_builder.h"
#include "engine/grammar/byte_trie.h"

namespace braid {
namespace {

constexpr ReadMode kModes[] = {ReadMode::kToken, ReadMode::kText};

// first of what may come at a state, the calls' included.
ByteSet FirstOf(const Automaton& automaton, int32_t state, int mode) {
  ByteSet first;
  const auto add = [&](std::span<const ByteEdge> edges) {
    for (const ByteEdge& edge : edges) {
      for (int b = edge.low; b <= edge.high; ++b) first.set(b);
    }
  };
  add(automaton.EdgesOf(state));
  if (kModes[mode] == ReadMode::kText) add(automaton.TextEdgesOf(state));
  for (const CallEdge& call : automaton.CallsOf(state)) first |= automaton.rules[call.rule].first[mode];
  return first;
}

// Carries set(from) into set(to) along `arcs` until nothing grows.
template <class From, class To>
void Carry(const std::vector<std::vector<int32_t>>& arcs, const From& from, const To& to) {
  std::vector<int32_t> work;
  std::vector<bool> waiting(arcs.size(), true);
  for (size_t i = arcs.size(); i-- > 0;) work.push_back(static_cast<int32_t>(i));
  while (!work.empty()) {
    const int32_t rule = work.back();
    work.pop_back();
    waiting[rule] = false;
    const ByteSet bytes = from(rule);
    for (int32_t next : arcs[rule]) {
      ByteSet& set = to(next);
      const ByteSet grown = set | bytes;
      if (grown == set) continue;
      set = grown;
      if (!waiting[next]) work.push_back(next);
      waiting[next] = true;
    }
  }
}

void SortUnique(std::vector<std::vector<int32_t>>* lists) {
  for (auto& list : *lists) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
}

void FillFirst(Automaton* automaton, int mode) {
  auto& rules = automaton->rules;
  std::vector<std::vector<int32_t>> callers(rules.size());  // whose start calls it
  for (size_t rule = 0; rule < rules.size(); ++rule) {
    rules[rule].first[mode] = FirstOf(*automaton, rules[rule].start, mode);
    for (const CallEdge& call : automaton->CallsOf(rules[rule].start)) {
      callers[call.rule].push_back(static_cast<int32_t>(rule));
    }
  }
  SortUnique(&callers);
  Carry(callers, [&](int32_t r) { return rules[r].first[mode]; }, [&](int32_t r) -> ByteSet& { return rules[r].first[mode]; });
}

void FillFollow(Automaton* automaton, int mode) {
  auto& rules = automaton->rules;
  std::vector<std::vector<int32_t>> last(rules.size());  // what it calls last
  std::vector<std::pair<int32_t, int32_t>> sites;        // (target, rule)
  for (int32_t s = 0; s < automaton->num_states(); ++s) {
    for (const CallEdge& call : automaton->CallsOf(s)) {
      sites.emplace_back(call.target, call.rule);
      if (automaton->states[call.target].final) last[automaton->states[s].rule].push_back(call.rule);
    }
  }
  std::sort(sites.begin(), sites.end());
  sites.erase(std::unique(sites.begin(), sites.end()), sites.end());
  int32_t target = -1;
  ByteSet first;
  for (const auto& [site, rule] : sites) {
    if (site != target) first = FirstOf(*automaton, site, mode);
    target = site;
    rules[rule].follow[mode] |= first;
  }
  SortUnique(&last);
  const auto behind = [&](int32_t r) {
    return rules[r].counted ? rules[r].follow[mode] | rules[r].first[mode] : rules[r].follow[mode];
  };
  Carry(last, behind, [&](int32_t r) -> ByteSet& { return rules[r].follow[mode]; });
}

// pure and single_path from the rule's states.
void FillKinds(Automaton* automaton) {
  for (AutomatonRule& rule : automaton->rules) {
    rule.pure = true;
    rule.single_path = rule.counted && rule.deterministic;
  }
  for (int32_t s = 1; s < automaton->num_states(); ++s) {
    const AutomatonState& state = automaton->states[s];
    AutomatonRule& rule = automaton->rules[state.rule];
    const bool leaves = !automaton->CallsOf(s).empty() || !automaton->MarkersOf(s).empty();
    if (leaves) rule.single_path = false;
    if (!state.final) continue;
    if (leaves || !automaton->EdgesOf(s).empty() || !automaton->TextEdgesOf(s).empty()) rule.pure = false;
    if ((FirstOf(*automaton, s, 0) & rule.first[0]).any()) rule.single_path = false;
  }
}

void FillPass(AutomatonRule* rule) {
  for (int mode = 0; mode < 2; ++mode) {
    if (rule->counted) rule->pass[mode] = rule->follow[mode] | rule->first[mode];
    else if (rule->pure) rule->pass[mode].set();
    else rule->pass[mode] = rule->follow[mode];
  }
  for (int b = 0; b < 256; ++b) {
    if (rule->pass[0][b]) rule->pass_classes |= uint32_t{1} << ByteClass(static_cast<uint8_t>(b));
  }
}

void FillLoops(Automaton* automaton) {
  for (int32_t s = 0; s < automaton->num_states(); ++s) {
    ByteSet loop;
    for (const ByteEdge& edge : automaton->EdgesOf(s)) {
      if (edge.target != s) continue;
      for (int b = edge.low; b <= edge.high; ++b) loop.set(b);
    }
    if (loop.none()) continue;
    uint32_t broken = 0;
    for (int b = 0; b < 256; ++b) {
      if (!loop[b]) broken |= uint32_t{1} << ByteClass(static_cast<uint8_t>(b));
    }
    automaton->states[s].loop_classes = ~broken;
  }
}

}  // namespace

void FillSets(Automaton* automaton) {
  for (int mode = 0; mode < 2; ++mode) {
    FillFirst(automaton, mode);
    FillFollow(automaton, mode);
  }
  FillKinds(automaton);
  for (AutomatonRule& rule : automaton->rules) FillPass(&rule);
  FillLoops(automaton);
}

}  // namespace braid
