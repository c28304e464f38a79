#include "engine/grammar/grammar.h"

#include <algorithm>
#include <map>

#include "engine/grammar/code_points.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

using Kind = GrammarNode::Kind;

constexpr int64_t kMaxCount = 1 << 30;

// Finds the nodes that can match some text, and takes all others out: a matcher never walks into a dead end.
class DeadEnds {
 public:
  explicit DeadEnds(Grammar* grammar)
      : grammar_(*grammar), live_(grammar->nodes.size()), missing_(grammar->nodes.size()), users_(live_.size()) {}

  void Remove() {
    LinkUsers();
    for (size_t id = 0; id < live_.size(); ++id) Start(static_cast<int32_t>(id));
    while (!work_.empty()) {
      const int32_t id = work_.back();
      work_.pop_back();
      for (const int32_t user : users_[id]) Reach(user);
    }
    for (size_t id = 0; id < live_.size(); ++id) Clean(&grammar_.nodes[id], live_[id]);
  }

 private:
  void LinkUsers() {
    for (size_t id = 0; id < live_.size(); ++id) {
      const GrammarNode& node = grammar_.nodes[id];
      for (const int32_t child : node.children) users_[child].push_back(static_cast<int32_t>(id));
      if (node.kind == Kind::kRule) users_[grammar_.rules[node.rule]].push_back(static_cast<int32_t>(id));
    }
  }

  void Start(int32_t id) {
    const GrammarNode& node = grammar_.nodes[id];
    missing_[id] = node.kind == Kind::kSequence ? node.children.size() : 1;
    switch (node.kind) {
      case Kind::kEmpty:
      case Kind::kBytes:
      case Kind::kLiteral:
      case Kind::kMarker:
        return Live(id);
      case Kind::kSequence:
        if (node.children.empty()) Live(id);
        return;
      case Kind::kRepeat:
        if (node.min == 0) Live(id);
        return;
      case Kind::kNothing:
      case Kind::kChoice:
      case Kind::kRule:
        return;
    }
  }

  void Reach(int32_t id) {
    if (!live_[id] && --missing_[id] == 0) Live(id);
  }

  void Live(int32_t id) {
    live_[id] = true;
    work_.push_back(id);
  }

  void Clean(GrammarNode* node, bool live) {
    const auto dead = [this](int32_t child) { return !live_[child]; };
    if (!live) {
      *node = GrammarNode{.kind = Kind::kNothing};
    } else if (node->kind == Kind::kChoice) {
      std::erase_if(node->children, dead);
    } else if (node->kind == Kind::kRepeat && dead(node->children[0])) {
      *node = GrammarNode{};
    }
  }

  Grammar& grammar_;
  std::vector<bool> live_;
  std::vector<size_t> missing_;  // how many more children have to be live
  std::vector<std::vector<int32_t>> users_;
  std::vector<int32_t> work_;
};

// The counts that the outer `min`..`max` repeats of a repeat come to, when they have no gaps: (a{1,3}){2,4} is a{2,12}.
bool JoinCounts(const GrammarNode& inner, int32_t* min, int32_t* max) {
  const int64_t m = inner.min, n = inner.max, p = *min, q = *max;
  const bool no_gaps = p == q || (p == 0 ? m <= 1 : n < 0 || p * (n - m) + 1 >= m);
  const int64_t least = p * m, most = n < 0 || q < 0 ? -1 : q * n;
  if (!no_gaps || least > kMaxCount || most > kMaxCount) return false;
  *min = static_cast<int32_t>(least);
  *max = static_cast<int32_t>(most);
  return true;
}

}  // namespace

int32_t GrammarBuilder::Add(GrammarNode node) {
  grammar_.nodes.push_back(std::move(node));
  return static_cast<int32_t>(grammar_.nodes.size() - 1);
}

int32_t GrammarBuilder::Empty() {
  if (empty_ < 0) empty_ = Add({.kind = Kind::kEmpty});
  return empty_;
}

int32_t GrammarBuilder::Nothing() {
  if (nothing_ < 0) nothing_ = Add({.kind = Kind::kNothing});
  return nothing_;
}

int32_t GrammarBuilder::Bytes(const ByteSet& bytes) {
  if (bytes.none()) return Nothing();
  return Add({.kind = Kind::kBytes, .bytes = bytes});
}

int32_t GrammarBuilder::Literal(std::string_view text) {
  if (text.empty()) return Empty();
  return Add({.kind = Kind::kLiteral, .text = std::string(text)});
}

int32_t GrammarBuilder::Marker(std::string_view text) {
  if (text.empty()) return Empty();
  return Add({.kind = Kind::kMarker, .text = std::string(text)});
}

int32_t GrammarBuilder::Chars(CodePoints ranges) {
  const CodePoints points = Normal(std::move(ranges));
  if (points.size() == 1 && points[0].first == points[0].second) return Literal(Utf8(points[0].first));
  // Lead bytes that may be followed by the same bytes share them.
  std::map<ByteRangeSequence, ByteSet> leads;
  for (const ByteRangeSequence& sequence : Utf8Ranges(points)) {
    ByteSet& lead = leads[ByteRangeSequence(sequence.begin() + 1, sequence.end())];
    for (int byte = sequence[0].first; byte <= sequence[0].second; ++byte) lead.set(byte);
  }
  std::vector<int32_t> ways;
  for (const auto& [rest, lead] : leads) {
    std::vector<int32_t> bytes = {Bytes(lead)};
    for (const auto& [first, last] : rest) {
      ByteSet set;
      for (int byte = first; byte <= last; ++byte) set.set(byte);
      bytes.push_back(Bytes(set));
    }
    ways.push_back(Sequence(std::move(bytes)));
  }
  return Choice(std::move(ways));
}

int32_t GrammarBuilder::Sequence(std::vector<int32_t> children) {
  std::vector<int32_t> kept;
  for (const int32_t child : children) {
    const Kind kind = grammar_.nodes[child].kind;
    if (kind == Kind::kNothing) return Nothing();
    if (kind == Kind::kEmpty) continue;
    if (kind == Kind::kLiteral && !kept.empty() && grammar_.nodes[kept.back()].kind == Kind::kLiteral) {
      kept.back() = Literal(grammar_.nodes[kept.back()].text + grammar_.nodes[child].text);
      continue;
    }
    kept.push_back(child);
  }
  if (kept.empty()) return Empty();
  if (kept.size() == 1) return kept[0];
  return Add({.kind = Kind::kSequence, .children = std::move(kept)});
}

int32_t GrammarBuilder::Choice(std::vector<int32_t> children) {
  std::vector<int32_t> kept;
  ByteSet bytes;
  for (const int32_t child : children) {
    const GrammarNode& node = grammar_.nodes[child];
    if (node.kind == Kind::kNothing) continue;
    if (node.kind == Kind::kBytes) {
      bytes |= node.bytes;
    } else if (std::find(kept.begin(), kept.end(), child) == kept.end() || kept.size() > 64) {
      kept.push_back(child);
    }
  }
  if (bytes.any()) kept.insert(kept.begin(), Bytes(bytes));
  if (kept.empty()) return Nothing();
  if (kept.size() == 1) return kept[0];
  return Add({.kind = Kind::kChoice, .children = std::move(kept)});
}

int32_t GrammarBuilder::Repeat(int32_t child, int32_t min, int32_t max) {
  CHECK(min >= 0 && (max == -1 || max >= min)) << min << " to " << max;
  const GrammarNode& node = grammar_.nodes[child];
  if (max == 0 || node.kind == Kind::kEmpty) return Empty();
  if (node.kind == Kind::kNothing) return min == 0 ? Empty() : child;
  int32_t joined = child;
  if (node.kind == Kind::kRepeat && JoinCounts(node, &min, &max)) joined = node.children[0];
  if (min == 1 && max == 1) return joined;
  return Add({.kind = Kind::kRepeat, .children = {joined}, .min = min, .max = max});
}

int32_t GrammarBuilder::NewRule() {
  grammar_.rules.push_back(-1);
  return static_cast<int32_t>(grammar_.rules.size() - 1);
}

void GrammarBuilder::Define(int32_t rule, int32_t node) {
  CHECK_EQ(grammar_.rules[rule], -1) << "rule " << rule;
  grammar_.rules[rule] = node;
}

int32_t GrammarBuilder::Rule(int32_t rule) { return Add({.kind = Kind::kRule, .rule = rule}); }

Grammar GrammarBuilder::Take() {
  CHECK(!grammar_.rules.empty());
  for (size_t rule = 0; rule < grammar_.rules.size(); ++rule) CHECK(grammar_.rules[rule] >= 0) << "rule " << rule;
  DeadEnds(&grammar_).Remove();
  return std::move(grammar_);
}

}  // namespace braid
