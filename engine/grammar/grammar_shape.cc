#include "engine/grammar/grammar_shape.h"

#include <algorithm>
#include <limits>

#include "kernels/base/errors.h"

namespace braid {
namespace {

using Kind = GrammarNode::Kind;
using Place = GrammarShape::Place;

constexpr uint32_t kMostCost = 1u << 24;
constexpr uint32_t kRuleCost = 32;      // rules up to here are spelled out where they are named
constexpr uint32_t kRepeatCost = 16;    // counted repeats up to here are spelled out
constexpr uint32_t kTogetherCost = GrammarShape::kTogetherCost;
constexpr uint32_t kApartCost = 400;    // what is used twice and larger becomes a rule
constexpr uint32_t kMostHeight = 200;
constexpr size_t kManyBytes = 32;       // from here on the masks within a repeat are worth sharing
constexpr int kInlinePasses = 8;

bool Leaf(const GrammarNode& node, bool empty_only) {
  switch (node.kind) {
    case Kind::kEmpty: return true;
    case Kind::kLiteral: case Kind::kMarker: return !empty_only || node.text.empty();
    case Kind::kBytes: return !empty_only && node.bytes.any();
    default: return false;
  }
}

// How many of a node's children have to hold before it holds; 0: it holds anyway.
int32_t Wanted(const GrammarNode& node, bool empty_only) {
  constexpr int32_t kNever = std::numeric_limits<int32_t>::max();
  switch (node.kind) {
    case Kind::kSequence: return static_cast<int32_t>(node.children.size());
    case Kind::kChoice: case Kind::kRule: return 1;
    case Kind::kRepeat:
      if (node.max >= 0 && node.min > node.max) return kNever;
      return node.min <= 0 || node.max == 0 ? 0 : 1;
    default: return Leaf(node, empty_only) ? 0 : kNever;
  }
}

// The least set of nodes that hold: leaves by Leaf, the others by their children. Linear in the grammar's size.
std::vector<bool> Holding(const Grammar& grammar, bool empty_only) {
  const int32_t n = static_cast<int32_t>(grammar.nodes.size());
  std::vector<std::vector<int32_t>> parents(n);
  std::vector<int32_t> wanted(n), ready;
  for (int32_t i = 0; i < n; ++i) {
    const GrammarNode& node = grammar.nodes[i];
    for (int32_t child : node.children) parents[child].push_back(i);
    if (node.kind == Kind::kRule) parents[grammar.rules[node.rule]].push_back(i);
    wanted[i] = Wanted(node, empty_only);
    if (wanted[i] == 0) ready.push_back(i);
  }
  std::vector<bool> holds(n);
  while (!ready.empty()) {
    const int32_t i = ready.back();
    ready.pop_back();
    holds[i] = true;
    for (int32_t parent : parents[i]) {
      if (wanted[parent] > 0 && --wanted[parent] == 0) ready.push_back(parent);
    }
  }
  return holds;
}

// Fills cost, height, place and first of the nodes, children before parents.
class Shaper {
 public:
  Shaper(const Grammar& grammar, const std::vector<bool>& together, GrammarShape* shape)
      : grammar_(grammar), together_(together), shape_(*shape) {}

  void Pass() {
    for (size_t i = 0; i < grammar_.nodes.size(); ++i) {
      GrammarShape::Node& node = shape_.nodes[i];
      if (!node.productive) continue;
      node.calls = false;
      node.place = Place::kHere;
      node.cost = node.height = 0;
      node.first.reset();
      Visit(static_cast<int32_t>(i), &node);
      node.cost = std::min(node.cost, kMostCost);
      const bool apart = node.height >= kMostHeight || (node.cost > kApartCost && node.uses > 1);
      if (apart && node.place == Place::kHere) node.place = Place::kApart;
    }
  }

 private:
  void Visit(int32_t i, GrammarShape::Node* node) {
    const GrammarNode& source = grammar_.nodes[i];
    switch (source.kind) {
      case Kind::kBytes: node->cost = 1; node->first = source.bytes; break;
      case Kind::kLiteral: case Kind::kMarker: VisitText(source, node); break;
      case Kind::kSequence: VisitSequence(source, node); break;
      case Kind::kChoice: VisitChoice(source, node); break;
      case Kind::kRepeat: VisitRepeat(i, node); break;
      case Kind::kRule: VisitRule(source, node); break;
      default: node->cost = 1;
    }
  }

  void VisitText(const GrammarNode& source, GrammarShape::Node* node) {
    node->cost = static_cast<uint32_t>(std::min<size_t>(source.text.size() + 1, kMostCost));
    node->calls = source.kind == Kind::kMarker;
    if (!source.text.empty()) node->first.set(static_cast<uint8_t>(source.text[0]));
  }

  void Include(int32_t child, GrammarShape::Node* node) {
    const GrammarShape::Node& part = shape_.nodes[child];
    const bool here = part.place == Place::kHere;
    node->cost = std::min(kMostCost, node->cost + (here ? part.cost : 1));
    node->height = std::max(node->height, here ? part.height + 1 : 1);
    node->calls |= !here || part.calls;
  }

  void VisitSequence(const GrammarNode& source, GrammarShape::Node* node) {
    bool at_front = true;
    for (int32_t child : source.children) {
      Include(child, node);
      if (at_front) node->first |= shape_.nodes[child].first;
      at_front &= shape_.nodes[child].nullable;
    }
  }

  void VisitChoice(const GrammarNode& source, GrammarShape::Node* node) {
    for (int32_t child : source.children) {
      if (!shape_.nodes[child].productive) continue;
      Include(child, node);
      node->first |= shape_.nodes[child].first;
    }
    node->cost = std::min(node->cost + 1, kMostCost);
  }

  void VisitRepeat(int32_t i, GrammarShape::Node* node) {
    const auto [min, max] = BoundsOf(grammar_, shape_, i);
    const int32_t child = grammar_.nodes[i].children[0];
    node->cost = 1;
    if (max == 0) return;
    Include(child, node);
    node->first = shape_.nodes[child].first;
    const bool many = node->first.count() >= kManyBytes;
    const uint64_t copies = max < 0 ? std::max(min, 1) : max;
    const uint64_t cost = node->cost * copies;
    if (max < 0 && min <= 1) {
      if (many && !together_[i]) node->place = Place::kLoop;
    } else if (together_[i] ? cost > kTogetherCost : max != 1 && (cost > kRepeatCost || (many && copies > 2))) {
      node->place = Place::kCounted;
    }
    node->cost = static_cast<uint32_t>(std::min<uint64_t>(cost, kMostCost));
  }

  void VisitRule(const GrammarNode& source, GrammarShape::Node* node) {
    node->cost = 1;
    if (!shape_.spelled_out[source.rule]) {
      node->place = Place::kRule;
      node->first = shape_.nodes[grammar_.rules[source.rule]].first;
      return;
    }
    Include(grammar_.rules[source.rule], node);
    node->first = shape_.nodes[grammar_.rules[source.rule]].first;
  }

  const Grammar& grammar_;
  const std::vector<bool>& together_;
  GrammarShape& shape_;
};

// Marks the rules that are small and call nothing; says whether there are new ones.
bool SpellOutSmallRules(const Grammar& grammar, GrammarShape* shape) {
  bool more = false;
  for (size_t rule = 0; rule < grammar.rules.size(); ++rule) {
    const GrammarShape::Node& node = shape->nodes[grammar.rules[rule]];
    const bool small = node.productive && !node.calls && node.place == Place::kHere && node.cost <= kRuleCost;
    if (!small || shape->spelled_out[rule]) continue;
    shape->spelled_out[rule] = true;
    more = true;
  }
  return more;
}

}  // namespace

RepeatBounds BoundsOf(const Grammar& grammar, const GrammarShape& shape, int32_t node) {
  const GrammarNode& repeat = grammar.nodes[node];
  const GrammarShape::Node& child = shape.nodes[repeat.children[0]];
  if (!child.productive || repeat.max == 0) return {0, 0};
  return {child.nullable ? 0 : std::max(repeat.min, 0), repeat.max};
}

GrammarShape ShapeOf(const Grammar& grammar, const std::vector<bool>& together) {
  GrammarShape shape;
  shape.nodes.resize(grammar.nodes.size());
  shape.spelled_out.resize(grammar.rules.size());
  const std::vector<bool> productive = Holding(grammar, false), nullable = Holding(grammar, true);
  for (size_t i = 0; i < grammar.nodes.size(); ++i) {
    shape.nodes[i].productive = productive[i];
    shape.nodes[i].nullable = nullable[i];
    for (int32_t child : grammar.nodes[i].children) ++shape.nodes[child].uses;
  }
  for (int32_t node : grammar.rules) ++shape.nodes[node].uses;
  Shaper shaper(grammar, together, &shape);
  shaper.Pass();
  for (int pass = 0; pass < kInlinePasses && SpellOutSmallRules(grammar, &shape); ++pass) shaper.Pass();
  return shape;
}

}  // namespace braid
