// A context-free grammar over bytes: what a JSON schema, a regular expression, EBNF or a list of choices is compiled to,
// and what the matcher walks.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace braid {

using ByteSet = std::bitset<256>;

// One node of a rule's expression. Which fields count is said by the kind.
struct GrammarNode {
  enum class Kind : uint8_t {
    kEmpty,     // the empty text
    kNothing,   // no text at all: matches nothing
    kBytes,     // one byte of `bytes`
    kLiteral,   // `text`, byte by byte
    kMarker,    // a special token whose content is `text`; where the vocabulary has none, `text` byte by byte
    kSequence,  // `children` one after another
    kChoice,    // one of `children`
    kRepeat,    // children[0], `min` to `max` times; max -1: any number
    kRule,      // the rule `rule`
  };
  Kind kind = Kind::kEmpty;
  ByteSet bytes;
  std::string text;
  std::vector<int32_t> children;  // node ids, each smaller than the node's own
  int32_t min = 0, max = 0;
  int32_t rule = -1;
};

// Nodes and rules by id; rule 0 is the root. Ambiguity is allowed; so are left recursion (EBNF has it) and right
// recursion of any length (a chain of tail calls must not grow the matcher's stack).
struct Grammar {
  std::vector<GrammarNode> nodes;
  std::vector<int32_t> rules;  // rule id -> node id; -1 while not yet defined
};

// Makes nodes. Every function returns a node id. Equal simple nodes may be shared.
class GrammarBuilder {
 public:
  int32_t Empty();
  int32_t Nothing();
  int32_t Bytes(const ByteSet& bytes);
  int32_t Literal(std::string_view text);
  int32_t Marker(std::string_view text);
  // One code point of the ranges (both ends included), as UTF-8; surrogates are left out.
  int32_t Chars(std::vector<std::pair<uint32_t, uint32_t>> ranges);
  int32_t Sequence(std::vector<int32_t> children);
  int32_t Choice(std::vector<int32_t> children);
  int32_t Repeat(int32_t child, int32_t min, int32_t max);

  // Makes a rule that may be referred to before it is defined.
  int32_t NewRule();
  void Define(int32_t rule, int32_t node);
  int32_t Rule(int32_t rule);

  size_t num_nodes() const { return grammar_.nodes.size(); }
  bool IsNothing(int32_t node) const { return grammar_.nodes[node].kind == GrammarNode::Kind::kNothing; }

  // The grammar. Rule 0, made by the first NewRule, is its root; every rule is defined by now. What can match no text
  // has been taken out of it: where a choice is left open, every way leads on to an end.
  Grammar Take();

 private:
  int32_t Add(GrammarNode node);
  Grammar grammar_;
  int32_t empty_ = -1, nothing_ = -1;
};

}  // namespace braid
