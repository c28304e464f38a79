#include "engine/grammar/text_dfa.h"

#include <algorithm>
#include <map>
#include <set>

#include "engine/grammar/regex_nfa.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

absl::Status TooLarge() {
  return absl::InvalidArgumentError(
      absl::StrCat("needs an automaton of more than ", kMaxDfaStates, " states: shorten the pattern or the length"));
}

bool Fits(const TextDfa& dfa) {
  return dfa.num_states() <= kMaxDfaStates && static_cast<int64_t>(dfa.next.size()) <= kMaxDfaEdges;
}

// Gives numbers to states as they are found, in the order in which they are to be worked on.
template <class Key>
class Numbering {
 public:
  int32_t Of(const Key& key) {
    const auto [at, is_new] = ids_.try_emplace(key, static_cast<int32_t>(keys_.size()));
    if (is_new) keys_.push_back(&at->first);
    return at->second;
  }
  size_t size() const { return keys_.size(); }
  const Key& at(size_t id) const { return *keys_[id]; }

 private:
  std::map<Key, int32_t> ids_;
  std::vector<const Key*> keys_;  // nodes of a map stay where they are
};

std::vector<uint32_t> MergedStarts(const TextDfa& a, const TextDfa& b) {
  std::vector<uint32_t> starts;
  std::set_union(a.starts.begin(), a.starts.end(), b.starts.begin(), b.starts.end(), std::back_inserter(starts));
  return starts;
}

enum class Joining { kBoth, kMark };

// States are pairs; b's is -1 where b has stopped (kMark only).
absl::StatusOr<TextDfa> Product(const TextDfa& a, const TextDfa& b, Joining joining, int bit) {
  TextDfa joined{.starts = MergedStarts(a, b)};
  std::vector<std::pair<int, int>> classes;
  for (const uint32_t start : joined.starts) classes.emplace_back(a.ClassOf(start), b.ClassOf(start));
  Numbering<std::pair<int32_t, int32_t>> pairs;
  pairs.Of({0, 0});
  for (size_t id = 0; id < pairs.size(); ++id) {
    const auto [at_a, at_b] = pairs.at(id);
    const uint64_t label_a = a.label[at_a], label_b = at_b < 0 ? 0 : b.label[at_b];
    const bool both = label_a != 0 && label_b != 0;
    joined.label.push_back(joining == Joining::kBoth ? (both ? label_a : 0) : both ? label_a | 1ull << bit : label_a);
    for (const auto& [class_a, class_b] : classes) {
      const int32_t to_a = a.Next(at_a, class_a), to_b = at_b < 0 ? -1 : b.Next(at_b, class_b);
      const bool dead = to_a < 0 || (to_b < 0 && joining == Joining::kBoth);
      joined.next.push_back(dead ? -1 : pairs.Of({to_a, to_b}));
    }
    if (!Fits(joined)) return TooLarge();
  }
  return Smallest(joined);
}

// The states from which some accepted one is reached.
std::vector<bool> Live(const TextDfa& dfa) {
  std::vector<std::vector<int>> from(dfa.num_states());
  std::vector<bool> live(dfa.num_states());
  std::vector<int> work;
  for (int state = 0; state < dfa.num_states(); ++state) {
    for (int c = 0; c < dfa.num_classes(); ++c) {
      const int to = dfa.Next(state, c);
      if (to >= 0 && (from[to].empty() || from[to].back() != state)) from[to].push_back(state);
    }
    if (dfa.label[state] != 0) live[state] = true, work.push_back(state);
  }
  while (!work.empty()) {
    const int state = work.back();
    work.pop_back();
    for (const int before : from[state]) {
      if (!live[before]) live[before] = true, work.push_back(before);
    }
  }
  return live;
}

// Each live state in a group of its own.
std::vector<int32_t> GroupsOfOne(const std::vector<bool>& live) {
  std::vector<int32_t> group(live.size(), -1);
  int32_t next = 0;
  for (size_t state = 0; state < live.size(); ++state) {
    if (live[state]) group[state] = next++;
  }
  return group;
}

// Moore's refinement: the group of each state, groups numbered as they are met from the start; -1: a dead state.
// Long chains (lengths) would take a round for each link and have little to join: they stay as they are.
std::vector<int32_t> Groups(const TextDfa& dfa, const std::vector<bool>& live) {
  constexpr int64_t kMaxWork = 300'000;
  std::vector<int32_t> group(dfa.num_states());
  size_t num_groups = 0;
  int64_t work = 0;
  for (bool first = true;; first = false) {
    work += first ? 0 : static_cast<int64_t>(dfa.next.size());
    if (work > kMaxWork) return GroupsOfOne(live);
    std::map<std::vector<int64_t>, int32_t> ids;
    std::vector<int32_t> refined(group.size(), -1);
    for (int state = 0; state < dfa.num_states(); ++state) {
      if (!live[state]) continue;
      std::vector<int64_t> key = {first ? static_cast<int64_t>(dfa.label[state]) : group[state]};
      for (int c = 0; c < dfa.num_classes() && !first; ++c) {
        const int to = dfa.Next(state, c);
        key.push_back(to < 0 ? -1 : group[to]);
      }
      refined[state] = ids.try_emplace(std::move(key), static_cast<int32_t>(ids.size())).first->second;
    }
    group = std::move(refined);
    if (ids.size() == num_groups) return group;
    num_groups = ids.size();
  }
}

// The classes that differ somewhere.
std::vector<int> DistinctClasses(const TextDfa& dfa, const std::vector<int32_t>& group) {
  const auto target = [&](int state, int c) {
    const int to = dfa.Next(state, c);
    return to < 0 ? -1 : group[to];
  };
  std::vector<int> kept = {0};
  for (int c = 1; c < dfa.num_classes(); ++c) {
    for (int state = 0; state < dfa.num_states(); ++state) {
      if (group[state] >= 0 && target(state, c) != target(state, c - 1)) {
        kept.push_back(c);
        break;
      }
    }
  }
  return kept;
}

}  // namespace

int TextDfa::ClassOf(uint32_t point) const {
  return static_cast<int>(std::upper_bound(starts.begin(), starts.end(), point) - starts.begin()) - 1;
}

absl::StatusOr<TextDfa> RegexDfa(const Regex& regex, RegexMatch match) {
  ASSIGN_OR_RETURN(const RegexNfa nfa, RegexNfa::Make(regex, match));
  TextDfa dfa{.starts = nfa.ClassStarts()};
  Numbering<RegexNfa::Places> sets;
  sets.Of(nfa.Start());
  for (size_t id = 0; id < sets.size(); ++id) {
    const RegexNfa::Places places = sets.at(id);
    dfa.label.push_back(nfa.Accepts(places) ? 1 : 0);
    for (const uint32_t start : dfa.starts) {
      const RegexNfa::Places to = nfa.Step(places, start);
      dfa.next.push_back(to.empty() ? -1 : sets.Of(to));
    }
    if (!Fits(dfa)) return TooLarge();
  }
  return Smallest(dfa);
}

absl::StatusOr<TextDfa> Both(const TextDfa& a, const TextDfa& b) { return Product(a, b, Joining::kBoth, 0); }

absl::StatusOr<TextDfa> Mark(const TextDfa& a, const TextDfa& b, int bit) { return Product(a, b, Joining::kMark, bit); }

absl::StatusOr<TextDfa> LengthDfa(int64_t least, int64_t most) {
  const int64_t last = most < 0 ? least : most;
  if (last >= kMaxDfaStates) return TooLarge();
  TextDfa dfa{.starts = {0}};
  for (int64_t length = 0; length <= last; ++length) {
    dfa.label.push_back(length >= least ? 1 : 0);
    dfa.next.push_back(static_cast<int32_t>(length < last ? length + 1 : most < 0 ? last : -1));
  }
  return dfa;
}

absl::StatusOr<TextDfa> AllBut(std::span<const std::string> words) {
  std::vector<std::vector<uint32_t>> spelled;
  std::set<uint32_t> starts = {0};
  int64_t states = 2;
  for (const std::string& word : words) {
    spelled.push_back(CodePointsOf(word).value_or(std::vector<uint32_t>{}));
    for (const uint32_t point : spelled.back()) starts.insert({point, point + 1});
    states += static_cast<int64_t>(spelled.back().size());
  }
  if (states * static_cast<int64_t>(starts.size()) > 8 * kMaxDfaEdges) return TooLarge();
  TextDfa dfa{.starts = {starts.begin(), starts.end()}, .label = {1, 1}};
  const size_t classes = dfa.starts.size();
  dfa.next.assign(2 * classes, 1);  // state 1: none of the words any more
  for (const auto& word : spelled) {
    int32_t state = 0;
    for (const uint32_t point : word) {
      const size_t edge = state * classes + dfa.ClassOf(point);
      if (dfa.next[edge] == 1) {
        dfa.next[edge] = dfa.num_states();
        dfa.label.push_back(1);
        dfa.next.resize(dfa.next.size() + classes, 1);
      }
      state = dfa.next[edge];
    }
    dfa.label[state] = 0;
  }
  return dfa;
}

TextDfa Only(const TextDfa& dfa, uint64_t label) {
  TextDfa only = dfa;
  for (uint64_t& l : only.label) l = l == label ? 1 : 0;
  return Smallest(only);
}

std::vector<uint64_t> Labels(const TextDfa& dfa) {
  std::set<uint64_t> labels(dfa.label.begin(), dfa.label.end());
  labels.erase(0);
  return {labels.begin(), labels.end()};
}

TextDfa Smallest(const TextDfa& dfa) {
  const std::vector<bool> live = Live(dfa);
  if (!live[0]) return TextDfa{.starts = {0}, .next = {-1}, .label = {0}};
  const std::vector<int32_t> group = Groups(dfa, live);
  const std::vector<int> classes = DistinctClasses(dfa, group);
  const int32_t num_groups = *std::max_element(group.begin(), group.end()) + 1;
  TextDfa smallest;
  for (const int c : classes) smallest.starts.push_back(dfa.starts[c]);
  smallest.label.resize(num_groups);
  smallest.next.resize(num_groups * classes.size());
  for (int state = 0; state < dfa.num_states(); ++state) {
    if (group[state] < 0) continue;
    smallest.label[group[state]] = dfa.label[state];
    for (size_t c = 0; c < classes.size(); ++c) {
      const int to = dfa.Next(state, classes[c]);
      smallest.next[group[state] * classes.size() + c] = to < 0 ? -1 : group[to];
    }
  }
  return smallest;
}

bool IsEmpty(const TextDfa& dfa) { return !Live(dfa)[0]; }

uint64_t LabelOf(const TextDfa& dfa, std::string_view utf8) {
  const auto points = CodePointsOf(utf8);
  if (!points) return 0;
  int state = 0;
  for (const uint32_t point : *points) {
    state = dfa.Next(state, dfa.ClassOf(point));
    if (state < 0) return 0;
  }
  return dfa.label[state];
}

}  // namespace braid
