#include "engine/grammar/automaton_builder.h"

#include <algorithm>
#include <string>

#include "engine/grammar/grammar_shape.h"
#include "engine/grammar/rule_nfa.h"
#include "engine/grammar/subset.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

using Kind = GrammarNode::Kind;
using Place = GrammarShape::Place;

constexpr size_t kMaxNodes = size_t{1} << 21;
constexpr size_t kMaxNfaStates = size_t{1} << 21;  // of all rules together
constexpr int kMaxDepth = 2000;
constexpr size_t kMaxDenseRows = 8192;
constexpr size_t kDenseFrom = 5;  // edges

class Builder {
 public:
  Builder(const Grammar& grammar, const TokenVocabulary& vocabulary, const std::vector<bool>& together)
      : grammar_(grammar), vocabulary_(vocabulary), shape_(ShapeOf(grammar, together)),
        rule_of_rule_(grammar.rules.size(), -1), rule_of_node_(grammar.nodes.size(), -1) {}

  absl::StatusOr<Automaton> Build() {
    if (!shape_.nodes[grammar_.rules[0]].productive) {
      return absl::InvalidArgumentError("grammar matches no text at all");
    }
    automaton_.states.push_back({.rule = -1, .dense = -1, .final = true});
    RuleOfRule(0);
    for (size_t rule = 0; rule < sources_.size(); ++rule) RETURN_IF_ERROR(BuildRule(static_cast<int32_t>(rule)));
    automaton_.states.push_back({.edges = static_cast<int32_t>(automaton_.edges.size()),
                                 .text_edges = static_cast<int32_t>(automaton_.text_edges.size()),
                                 .calls = static_cast<int32_t>(automaton_.calls.size()),
                                 .markers = static_cast<int32_t>(automaton_.marker_edges.size())});
    for (CallEdge& call : automaton_.calls) call.tail = call.tail && !automaton_.rules[call.rule].counted;
    FillDense();
    FillSets(&automaton_);
    return std::move(automaton_);
  }

  // The repeats kept apart whose end looks like one more iteration.
  std::vector<int32_t> Blurred(const Automaton& automaton) const {
    std::vector<int32_t> nodes;
    for (size_t r = 0; r < sources_.size(); ++r) {
      const AutomatonRule& rule = automaton.rules[r];
      const Place place = sources_[r].place;
      if (place != Place::kLoop && place != Place::kCounted) continue;
      if (place == Place::kCounted && shape_.nodes[sources_[r].repeat].cost > GrammarShape::kTogetherCost) continue;
      if ((rule.first[0] & rule.follow[0]).any()) nodes.push_back(sources_[r].repeat);
    }
    return nodes;
  }

 private:
  struct Source {
    int32_t node;    // spelled out in the rule's automaton
    Place place;     // kRule: no repeat
    int32_t repeat;  // the repeat kept apart, or -1
  };

  int32_t AddRule(Source source) {
    automaton_.rules.emplace_back();
    sources_.push_back(source);
    return static_cast<int32_t>(sources_.size()) - 1;
  }

  int32_t RuleOfRule(int32_t rule) {
    if (rule_of_rule_[rule] < 0) rule_of_rule_[rule] = AddRule({grammar_.rules[rule], Place::kRule, -1});
    return rule_of_rule_[rule];
  }

  int32_t RuleOfNode(int32_t node) {
    if (rule_of_node_[node] >= 0) return rule_of_node_[node];
    const Place place = shape_.nodes[node].place;
    const bool counted = place == Place::kCounted;
    const int32_t rule = AddRule({counted ? grammar_.nodes[node].children[0] : node, place,
                                  place == Place::kApart ? -1 : node});
    if (counted) {
      automaton_.rules[rule].counted = true;
      const RepeatBounds bounds = BoundsOf(grammar_, shape_, node);
      automaton_.rules[rule].min = bounds.min;
      automaton_.rules[rule].max = bounds.max;
    }
    return rule_of_node_[node] = rule;
  }

  absl::Status BuildRule(int32_t rule) {
    nfa_ = RuleNfa();
    nfa_.start = nfa_.Add();
    const Source source = sources_[rule];
    // What is kept apart is spelled out in its own rule.
    const bool own = source.place == Place::kApart || source.place == Place::kLoop;
    nfa_.end = own ? SpellOut(source.node, nfa_.start, 0) : Put(source.node, nfa_.start, 0);
    total_states_ += nfa_.states.size();
    if (too_deep_) return absl::InvalidArgumentError(absl::StrCat("grammar is nested more than ", kMaxDepth, " deep"));
    if (TooLarge()) {
      return absl::InvalidArgumentError(absl::StrCat("grammar is too large: more than ", kMaxNfaStates, " states"));
    }
    return SubsetConstruction(nfa_, rule, &automaton_).Run();
  }

  bool TooLarge() const { return total_states_ > kMaxNfaStates || nfa_.states.size() > kMaxNfaStates; }

  // Adds the way through `node` from state `from`; returns where it ends.
  int32_t Put(int32_t node, int32_t from, int depth) {
    const GrammarShape::Node& shape = shape_.nodes[node];
    if (shape.place == Place::kHere) return SpellOut(node, from, depth);
    const int32_t rule =
        shape.place == Place::kRule ? RuleOfRule(grammar_.nodes[node].rule) : RuleOfNode(node);
    const int32_t state = nfa_.Fresh(from);
    const int32_t end = nfa_.Label(state, NfaState::Kind::kCall, rule);
    if (shape.nullable) nfa_.AddMove(state, end);
    return end;
  }

  int32_t SpellOut(int32_t id, int32_t from, int depth) {
    if (depth > kMaxDepth) too_deep_ = true;
    if (too_deep_ || TooLarge()) return from;
    const GrammarNode& node = grammar_.nodes[id];
    switch (node.kind) {
      case Kind::kBytes: return nfa_.Bytes(from, node.bytes);
      case Kind::kLiteral: return nfa_.Text(from, node.text, NfaState::Kind::kByte);
      case Kind::kMarker: return PutMarker(node.text, from);
      case Kind::kSequence:
        for (int32_t child : node.children) from = Put(child, from, depth + 1);
        return from;
      case Kind::kChoice: return PutChoice(node, from, depth);
      case Kind::kRepeat: return PutRepeat(id, from, depth);
      case Kind::kRule: return Put(grammar_.rules[node.rule], from, depth + 1);
      default: return from;
    }
  }

  int32_t PutMarker(const std::string& text, int32_t from) {
    const std::span<const int32_t> ids = vocabulary_.MarkerIds(text);
    if (ids.empty()) return nfa_.Text(from, text, NfaState::Kind::kByte);
    const int32_t branch = nfa_.Fresh(from), spelled = nfa_.Add();
    const int32_t end = nfa_.Label(branch, NfaState::Kind::kMarker, MarkerOf(ids));
    nfa_.AddMove(branch, spelled);
    nfa_.AddMove(nfa_.Text(spelled, text, NfaState::Kind::kTextByte), end);
    return end;
  }

  int32_t MarkerOf(std::span<const int32_t> ids) {
    const auto [place, added] = automaton_.marker_of_id.try_emplace(ids[0], automaton_.marker_ids.size());
    if (!added) return place->second;
    const int32_t marker = static_cast<int32_t>(automaton_.marker_ids.size());
    automaton_.marker_ids.emplace_back(ids.begin(), ids.end());
    for (int32_t id : ids) automaton_.marker_of_id[id] = marker;
    return marker;
  }

  int32_t PutChoice(const GrammarNode& node, int32_t from, int depth) {
    const int32_t end = nfa_.Add();
    for (int32_t child : node.children) {
      if (!shape_.nodes[child].productive) continue;
      const int32_t start = nfa_.Add();
      nfa_.AddMove(from, start);
      nfa_.AddMove(Put(child, start, depth + 1), end);
    }
    return end;
  }

  int32_t PutRepeat(int32_t id, int32_t from, int depth) {
    const auto [min, max] = BoundsOf(grammar_, shape_, id);
    const int32_t child = grammar_.nodes[id].children[0];
    if (max == 0) return from;
    for (int32_t i = 0; i + (max < 0 ? 1 : 0) < min; ++i) from = Put(child, from, depth + 1);
    if (max < 0) return PutLoop(child, min > 0, from, depth);
    const int32_t end = nfa_.Add();
    for (int32_t i = min; i < max && !TooLarge(); ++i) {
      nfa_.AddMove(from, end);
      const int32_t next = nfa_.Add();
      nfa_.AddMove(from, next);
      from = Put(child, next, depth + 1);
    }
    nfa_.AddMove(from, end);
    return end;
  }

  int32_t PutLoop(int32_t child, bool at_least_once, int32_t from, int depth) {
    const int32_t entry = nfa_.Add(), end = nfa_.Add();
    nfa_.AddMove(from, entry);
    const int32_t behind = Put(child, entry, depth + 1);
    nfa_.AddMove(behind, entry);
    nfa_.AddMove(behind, end);
    if (!at_least_once) nfa_.AddMove(entry, end);
    return end;
  }

  void FillDense() {
    for (int32_t s = 0; s < automaton_.num_states(); ++s) {
      const std::span<const ByteEdge> edges = automaton_.EdgesOf(s);
      if (edges.size() < kDenseFrom || !automaton_.Deterministic(s)) continue;
      const size_t row = automaton_.dense.size() / 256;
      if (row == kMaxDenseRows) return;
      automaton_.states[s].dense = static_cast<int32_t>(row);
      automaton_.dense.resize((row + 1) * 256, -1);
      for (const ByteEdge& edge : edges) {
        for (int b = edge.low; b <= edge.high; ++b) automaton_.dense[row * 256 + b] = edge.target;
      }
    }
  }

  const Grammar& grammar_;
  const TokenVocabulary& vocabulary_;
  const GrammarShape shape_;
  std::vector<int32_t> rule_of_rule_, rule_of_node_;
  std::vector<Source> sources_;  // by rule of the automaton
  Automaton automaton_;
  RuleNfa nfa_;
  size_t total_states_ = 0;
  bool too_deep_ = false;
};

void CheckWellFormed(const Grammar& grammar) {
  CHECK(!grammar.rules.empty());
  for (int32_t node : grammar.rules) CHECK(node >= 0 && node < static_cast<int32_t>(grammar.nodes.size())) << node;
  for (size_t i = 0; i < grammar.nodes.size(); ++i) {
    const GrammarNode& node = grammar.nodes[i];
    for (int32_t child : node.children) CHECK(child >= 0 && child < static_cast<int32_t>(i)) << i << " has " << child;
    if (node.kind == Kind::kRepeat) CHECK_EQ(node.children.size(), 1u);
    if (node.kind == Kind::kRule) CHECK(node.rule >= 0 && node.rule < static_cast<int32_t>(grammar.rules.size())) << i;
  }
}

}  // namespace

absl::StatusOr<Automaton> BuildAutomaton(const Grammar& grammar, const TokenVocabulary& vocabulary) {
  CheckWellFormed(grammar);
  if (grammar.nodes.size() > kMaxNodes) {
    return absl::InvalidArgumentError(
        absl::StrCat("grammar is too large: ", grammar.nodes.size(), " nodes, at most ", kMaxNodes));
  }
  std::vector<bool> together(grammar.nodes.size());
  Builder first(grammar, vocabulary, together);
  ASSIGN_OR_RETURN(Automaton automaton, first.Build());
  const std::vector<int32_t> blurred = first.Blurred(automaton);
  if (blurred.empty()) return automaton;
  for (int32_t node : blurred) together[node] = true;
  return Builder(grammar, vocabulary, together).Build();
}

}  // namespace braid
