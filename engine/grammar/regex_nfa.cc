#include "engine/grammar/regex_nfa.h"

#include <algorithm>
#include <set>

#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr size_t kMaxStates = 20'000;

}  // namespace

absl::StatusOr<RegexNfa> RegexNfa::Make(const Regex& regex, RegexMatch match) {
  RegexNfa nfa(regex, match);
  nfa.accept_ = nfa.Add({});
  nfa.first_ = nfa.Compile(regex.root, nfa.accept_);
  if (match == RegexMatch::kAnywhere) {
    nfa.states_[nfa.accept_].chars = AllCodePoints();
    nfa.states_[nfa.accept_].to = nfa.accept_;
    const int32_t before = nfa.Add({.chars = AllCodePoints(), .also = {nfa.first_}});
    nfa.states_[before].to = before;
    nfa.first_ = before;
  }
  if (nfa.states_.size() > kMaxStates) {
    return absl::InvalidArgumentError(
        absl::StrCat("regular expression: more than ", kMaxStates, " parts, counts written out"));
  }
  return nfa;
}

int32_t RegexNfa::Add(State state) {
  if (states_.size() <= kMaxStates) states_.push_back(std::move(state));
  return static_cast<int32_t>(states_.size() - 1);
}

int32_t RegexNfa::Compile(int id, int32_t next) {
  if (states_.size() > kMaxStates) return next;
  const RegexNode& node = regex_.at(id);
  State state;
  switch (node.kind) {
    case RegexNode::Kind::kEmpty:
      return next;
    case RegexNode::Kind::kChars:
      return Add({.chars = node.chars, .to = next});
    case RegexNode::Kind::kStart:
      state.on_start = next;
      return Add(std::move(state));
    case RegexNode::Kind::kEnd:
      state.on_end = next;
      return Add(std::move(state));
    case RegexNode::Kind::kRepeat:
      return CompileRepeat(node, next);
    case RegexNode::Kind::kSequence:
      for (size_t i = node.children.size(); i-- > 0;) next = Compile(node.children[i], next);
      return next;
    case RegexNode::Kind::kChoice:
      break;
  }
  for (const int child : node.children) state.also.push_back(Compile(child, next));
  return Add(std::move(state));
}

int32_t RegexNfa::CompileRepeat(const RegexNode& node, int32_t next) {
  const int child = node.children[0];
  if (node.max < 0) {
    const int32_t loop = Add({});
    const int32_t body = Compile(child, loop);
    states_[loop].also = {body, next};
    next = loop;
  }
  const int32_t end = next;
  for (int i = node.min; i < node.max && states_.size() <= kMaxStates; ++i) {
    const int32_t body = Compile(child, next);
    next = Add({.also = {body, end}});
  }
  for (int i = 0; i < node.min && states_.size() <= kMaxStates; ++i) next = Compile(child, next);
  return next;
}

std::vector<uint32_t> RegexNfa::ClassStarts() const {
  std::set<uint32_t> starts = {0};
  for (const State& state : states_) {
    for (const auto& [first, last] : state.chars) starts.insert({first, last + 1});
  }
  return {starts.begin(), starts.end()};
}

RegexNfa::Places RegexNfa::Closure(Places places, bool at_start) const {
  std::set<int32_t> seen(places.begin(), places.end());
  const auto reach = [&](int32_t state, int32_t ended) {
    if (state >= 0 && seen.insert(state * 2 + ended).second) places.push_back(state * 2 + ended);
  };
  for (size_t i = 0; i < places.size(); ++i) {
    const State& state = states_[places[i] / 2];
    const int32_t ended = places[i] % 2;
    for (const int32_t also : state.also) reach(also, ended);
    if (at_start) reach(state.on_start, ended);
    reach(state.on_end, 1);
  }
  // Found anywhere: whatever follows is accepted.
  if (match_ == RegexMatch::kAnywhere && seen.contains(accept_ * 2)) return {accept_ * 2};
  return {seen.begin(), seen.end()};
}

RegexNfa::Places RegexNfa::Start() const { return Closure({first_ * 2}, true); }

RegexNfa::Places RegexNfa::Step(const Places& places, uint32_t point) const {
  std::set<int32_t> reached;
  for (const int32_t place : places) {
    const State& state = states_[place / 2];
    if (place % 2 == 0 && state.to >= 0 && Contains(state.chars, point)) reached.insert(state.to * 2);
  }
  if (reached.empty()) return {};
  return Closure({reached.begin(), reached.end()}, false);
}

bool RegexNfa::Accepts(const Places& places) const {
  return std::any_of(places.begin(), places.end(), [this](int32_t place) { return place / 2 == accept_; });
}

}  // namespace braid
