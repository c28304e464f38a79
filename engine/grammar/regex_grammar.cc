#include "engine/grammar/regex_grammar.h"

#include <algorithm>
#include <span>

namespace braid {
namespace {

using Kind = RegexNode::Kind;

constexpr int64_t kLongest = int64_t{1} << 40;

// The ways of a regex at its top: one sequence of nodes each.
std::vector<std::vector<int>> TopWays(const Regex& regex) {
  std::vector<int> roots = {regex.root};
  if (regex.at(regex.root).kind == Kind::kChoice) roots = regex.at(regex.root).children;
  std::vector<std::vector<int>> ways;
  for (const int root : roots) {
    ways.push_back(regex.at(root).kind == Kind::kSequence ? regex.at(root).children : std::vector<int>{root});
  }
  return ways;
}

class TreeAdder {
 public:
  TreeAdder(const Regex& regex, const CharSpelling& spell, GrammarBuilder* builder)
      : regex_(regex), spell_(spell), builder_(*builder) {}

  // One way at the top: the anchors at its ends, and with kAnywhere any text where there is none.
  std::optional<int32_t> Way(std::span<const int> parts, RegexMatch match) {
    bool start = match == RegexMatch::kWhole, end = start;
    while (!parts.empty() && regex_.at(parts.front()).kind == Kind::kStart) start = true, parts = parts.subspan(1);
    while (!parts.empty() && regex_.at(parts.back()).kind == Kind::kEnd) {
      end = true;
      parts = parts.first(parts.size() - 1);
    }
    std::vector<int32_t> nodes;
    if (!start) nodes.push_back(Anything());
    for (const int part : parts) {
      const auto node = Add(part);
      if (!node) return std::nullopt;
      nodes.push_back(*node);
    }
    if (!end) nodes.push_back(Anything());
    return builder_.Sequence(std::move(nodes));
  }

 private:
  int32_t Anything() { return builder_.Repeat(spell_(AllCodePoints()), 0, -1); }

  // Depth is bounded by the parser.
  std::optional<int32_t> Add(int id) {
    const RegexNode& node = regex_.at(id);
    if (node.kind == Kind::kStart || node.kind == Kind::kEnd) return std::nullopt;
    if (node.kind == Kind::kEmpty) return builder_.Empty();
    if (node.kind == Kind::kChars) return spell_(node.chars);
    std::vector<int32_t> children;
    for (const int child : node.children) {
      const auto added = Add(child);
      if (!added) return std::nullopt;
      children.push_back(*added);
    }
    if (node.kind == Kind::kRepeat) return builder_.Repeat(children[0], node.min, node.max);
    return node.kind == Kind::kSequence ? builder_.Sequence(std::move(children)) : builder_.Choice(std::move(children));
  }

  const Regex& regex_;
  const CharSpelling& spell_;
  GrammarBuilder& builder_;
};

TextLength Joined(const RegexNode& node, std::span<const TextLength> parts) {
  TextLength all = node.kind == Kind::kChoice ? parts[0] : TextLength{};
  for (const TextLength& part : parts) {
    if (node.kind == Kind::kChoice) {
      all.least = std::min(all.least, part.least);
      all.most = all.most < 0 || part.most < 0 ? -1 : std::max(all.most, part.most);
    } else {
      all.least = std::min(all.least + part.least, kLongest);
      all.most = all.most < 0 || part.most < 0 ? -1 : std::min(all.most + part.most, kLongest);
    }
  }
  return all;
}

TextLength LengthAt(const Regex& regex, int id) {
  const RegexNode& node = regex.at(id);
  if (node.kind == Kind::kChars) return {1, 1};
  if (node.children.empty()) return {0, 0};
  std::vector<TextLength> parts;
  for (const int child : node.children) parts.push_back(LengthAt(regex, child));
  if (node.kind != Kind::kRepeat) return Joined(node, parts);
  const TextLength& one = parts[0];
  const bool endless = node.max < 0 ? one.most != 0 : one.most < 0 && node.max > 0;
  return {std::min(one.least * node.min, kLongest),
          endless ? -1 : std::min(one.most * std::max(node.max, 0), kLongest)};
}

}  // namespace

CharSpelling Utf8Spelling(GrammarBuilder* builder) {
  return [builder](const CodePoints& points) { return builder->Chars(points); };
}

std::optional<int32_t> AddRegexTree(const Regex& regex, RegexMatch match, const CharSpelling& spell,
                                    GrammarBuilder* builder) {
  TreeAdder adder(regex, spell, builder);
  std::vector<int32_t> ways;
  for (const std::vector<int>& way : TopWays(regex)) {
    const auto node = adder.Way(way, match);
    if (!node) return std::nullopt;
    ways.push_back(*node);
  }
  return builder->Choice(std::move(ways));
}

bool IsAnchored(const Regex& regex) {
  for (const std::vector<int>& way : TopWays(regex)) {
    if (regex.at(way.front()).kind != Kind::kStart || regex.at(way.back()).kind != Kind::kEnd) return false;
  }
  return true;
}

TextLength LengthOf(const Regex& regex) { return LengthAt(regex, regex.root); }

std::optional<RepeatedChars> AsRepeatedChars(const Regex& regex) {
  const auto ways = TopWays(regex);
  if (ways.size() != 1 || ways[0].size() != 3 || !IsAnchored(regex)) return std::nullopt;
  const RegexNode& middle = regex.at(ways[0][1]);
  if (middle.kind == Kind::kChars) return RepeatedChars{middle.chars};
  if (middle.kind != Kind::kRepeat || regex.at(middle.children[0]).kind != Kind::kChars) return std::nullopt;
  return RepeatedChars{regex.at(middle.children[0]).chars, middle.min, middle.max};
}

}  // namespace braid
