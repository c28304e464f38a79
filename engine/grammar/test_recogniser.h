// For tests: whether a grammar has a text as a sentence, by trying every way. Knows no left recursion.
#pragma once

#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "engine/grammar/grammar.h"

namespace braid {

class TestRecogniser {
 public:
  TestRecogniser(const Grammar& grammar, std::string_view text) : grammar_(grammar), text_(text) {}

  bool Accepts() { return RuleEnds(0, 0).contains(text_.size()); }

 private:
  using Ends = std::set<size_t>;
  using Kind = GrammarNode::Kind;

  Ends NodeEnds(int32_t id, size_t at) {
    const GrammarNode& node = grammar_.nodes[id];
    switch (node.kind) {
      case Kind::kEmpty:
        return {at};
      case Kind::kNothing:
        return {};
      case Kind::kBytes:
        return at < text_.size() && node.bytes[static_cast<uint8_t>(text_[at])] ? Ends{at + 1} : Ends{};
      case Kind::kLiteral:
      case Kind::kMarker:
        return text_.substr(at).starts_with(node.text) ? Ends{at + node.text.size()} : Ends{};
      case Kind::kSequence:
        return SequenceEnds(node, at);
      case Kind::kChoice:
        return ChoiceEnds(node, at);
      case Kind::kRepeat:
        return RepeatEnds(node, at);
      case Kind::kRule:
        return RuleEnds(node.rule, at);
    }
    return {};
  }

  Ends After(int32_t id, const Ends& starts) {
    Ends ends;
    for (const size_t start : starts) ends.merge(NodeEnds(id, start));
    return ends;
  }

  Ends SequenceEnds(const GrammarNode& node, size_t at) {
    Ends ends = {at};
    for (const int32_t child : node.children) ends = After(child, ends);
    return ends;
  }

  Ends ChoiceEnds(const GrammarNode& node, size_t at) {
    Ends ends;
    for (const int32_t child : node.children) ends.merge(NodeEnds(child, at));
    return ends;
  }

  Ends RepeatEnds(const GrammarNode& node, size_t at) {
    Ends ends, current = {at};
    for (int32_t count = 0; !current.empty() && (node.max < 0 || count <= node.max); ++count) {
      const size_t known = ends.size();
      if (count >= node.min) ends.insert(current.begin(), current.end());
      if (count > node.min && ends.size() == known) break;
      current = After(node.children[0], current);
    }
    return ends;
  }

  const Ends& RuleEnds(int32_t rule, size_t at) {
    const auto [known, is_new] = rules_.try_emplace({rule, at});
    if (is_new) {
      Ends ends = NodeEnds(grammar_.rules[rule], at);
      known->second = std::move(ends);
    }
    return known->second;
  }

  const Grammar& grammar_;
  const std::string_view text_;
  std::map<std::pair<int32_t, size_t>, Ends> rules_;
};

inline bool Recognises(const Grammar& grammar, std::string_view text) {
  return TestRecogniser(grammar, text).Accepts();
}

}  // namespace braid
