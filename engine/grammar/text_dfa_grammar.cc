// Automata to grammars: a rule for each state that is reached in two ways, one inside another for the rest. Every
// rule is called last, so that the matcher's stack never grows on the way.
#include <map>

#include "engine/grammar/text_dfa.h"

namespace braid {
namespace {

constexpr int kMaxInline = 16;

// The code points that every text spells alike, and have a rule of their own for each state they lead to: few states
// then hold the many byte sequences of UTF-8.
const CodePoints& Ascii() {
  static const CodePoints ascii = {{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x7F}};
  return ascii;
}
const CodePoints& BeyondAscii() {
  static const CodePoints beyond = Complement({{0, 0x7F}});
  return beyond;
}
// Those that JSON strings escape.
const CodePoints& Escaped() {
  static const CodePoints escaped = {{0, 0x1F}, {'"', '"'}, {'\\', '\\'}};
  return escaped;
}

class DfaAdder {
 public:
  DfaAdder(const TextDfa& dfa, const CharSpelling& spell, GrammarBuilder* builder)
      : dfa_(dfa),
        spell_(spell),
        builder_(*builder),
        edges_(dfa.num_states()),
        uses_(dfa.num_states()),
        rules_(dfa.num_states(), -1) {
    for (int state = 0; state < dfa.num_states(); ++state) {
      FindEdges(state);
      for (const auto& [to, points] : edges_[state]) uses_[to] += to == state ? 0 : 1;
    }
  }

  int32_t Add() {
    const int32_t start = RuleOf(0);
    while (!work_.empty()) {
      const int state = work_.back();
      work_.pop_back();
      builder_.Define(rules_[state], Body(state, 0));
    }
    return start;
  }

 private:
  void FindEdges(int state) {
    for (int c = 0; c < dfa_.num_classes(); ++c) {
      const int to = dfa_.Next(state, c);
      const uint32_t first = dfa_.starts[c], last = c + 1 < dfa_.num_classes() ? dfa_.starts[c + 1] - 1 : kMaxCodePoint;
      if (to < 0 || first > last) continue;
      CodePoints& points = edges_[state][to];
      if (!points.empty() && points.back().second + 1 == first) {
        points.back().second = last;
      } else {
        points.emplace_back(first, last);
      }
    }
  }

  int32_t Spell(const CodePoints& points) {
    const auto [at, is_new] = spelled_.try_emplace(points, -1);
    if (is_new) at->second = spell_(points);
    return at->second;
  }

  int32_t RuleOf(int state) {
    if (rules_[state] < 0) {
      rules_[state] = builder_.NewRule();
      work_.push_back(state);
    }
    return builder_.Rule(rules_[state]);
  }

  bool IsEnd(int state) const { return dfa_.label[state] != 0 && edges_[state].empty(); }

  // All that may follow at `state`.
  int32_t Body(int state, int depth) {
    std::vector<int32_t> ways;
    int32_t loop = builder_.Empty();
    for (const auto& [to, points] : edges_[state]) {
      if (to == state) {
        loop = builder_.Repeat(Spell(points), 0, -1);
      } else if (IsEnd(to)) {
        ways.push_back(Spell(points));
      } else if (uses_[to] == 1 && to != 0 && depth < kMaxInline && rules_[to] < 0) {
        ways.push_back(builder_.Sequence({Spell(points), Body(to, depth + 1)}));
      } else {
        AddWay(points, to, &ways);
      }
    }
    if (dfa_.label[state] != 0) ways.push_back(builder_.Empty());
    return builder_.Sequence({loop, builder_.Choice(std::move(ways))});
  }

  void AddWay(const CodePoints& points, int to, std::vector<int32_t>* ways) {
    CodePoints rest = points;
    for (const CodePoints* set : {&BeyondAscii(), &Escaped()}) {
      if (Intersection(points, *set) != *set) continue;
      ways->push_back(SetThen(set, to));
      rest = Intersection(rest, Complement(*set));
    }
    const CodePoints plain = Intersection(rest, Ascii()), others = Intersection(rest, Complement(Ascii()));
    if (!plain.empty()) ways->push_back(builder_.Sequence({Spell(plain), RuleOf(to)}));
    if (!others.empty()) ways->push_back(builder_.Sequence({Spell(others), RuleOf(to)}));
  }

  // The rule for any of `set` and then `to`.
  int32_t SetThen(const CodePoints* set, int to) {
    const auto [at, is_new] = set_rules_.try_emplace({set, to}, -1);
    if (is_new) {
      at->second = builder_.NewRule();
      builder_.Define(at->second, builder_.Sequence({Spell(*set), RuleOf(to)}));
    }
    return builder_.Rule(at->second);
  }

  const TextDfa& dfa_;
  const CharSpelling& spell_;
  GrammarBuilder& builder_;
  std::vector<std::map<int, CodePoints>> edges_;  // [state]: to where by what
  std::vector<int> uses_;                         // edges from other states
  std::vector<int32_t> rules_;
  std::map<CodePoints, int32_t> spelled_;
  std::map<std::pair<const CodePoints*, int>, int32_t> set_rules_;
  std::vector<int> work_;
};

}  // namespace

int32_t AddDfa(const TextDfa& dfa, const CharSpelling& spell, GrammarBuilder* builder) {
  return DfaAdder(dfa, spell, builder).Add();
}

}  // namespace braid
