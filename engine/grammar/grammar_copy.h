// A whole grammar as a part of another.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "engine/grammar/grammar.h"
#include "kernels/base/errors.h"

namespace braid {

// Copies all rules and nodes. Its builder has a root of its own already.
class GrammarCopy {
 public:
  GrammarCopy(const Grammar& grammar, GrammarBuilder* builder) : builder_(*builder) {
    for (size_t i = 0; i < grammar.rules.size(); ++i) rules_.push_back(builder_.NewRule());
    for (const GrammarNode& node : grammar.nodes) nodes_.push_back(Copied(node));  // children come first
    for (size_t i = 0; i < grammar.rules.size(); ++i) builder_.Define(rules_[i], nodes_[grammar.rules[i]]);
  }
  int32_t Root() { return builder_.Rule(rules_[0]); }

 private:
  int32_t Copied(const GrammarNode& node) {
    std::vector<int32_t> children;
    for (const int32_t child : node.children) children.push_back(nodes_[child]);
    switch (node.kind) {
      case GrammarNode::Kind::kEmpty: return builder_.Empty();
      case GrammarNode::Kind::kNothing: return builder_.Nothing();
      case GrammarNode::Kind::kBytes: return builder_.Bytes(node.bytes);
      case GrammarNode::Kind::kLiteral: return builder_.Literal(node.text);
      case GrammarNode::Kind::kMarker: return builder_.Marker(node.text);
      case GrammarNode::Kind::kSequence: return builder_.Sequence(std::move(children));
      case GrammarNode::Kind::kChoice: return builder_.Choice(std::move(children));
      case GrammarNode::Kind::kRepeat: return builder_.Repeat(children[0], node.min, node.max);
      case GrammarNode::Kind::kRule: return builder_.Rule(rules_[node.rule]);
    }
    CHECK(false) << static_cast<int>(node.kind);
    return -1;
  }

  GrammarBuilder& builder_;
  std::vector<int32_t> rules_, nodes_;
};

}  // namespace braid
