#include "engine/grammar/grammar.h"

#include <gtest/gtest.h>

#include "engine/grammar/code_points.h"
#include "engine/grammar/test_recogniser.h"

namespace braid {
namespace {

// The grammar whose root `make` gives.
template <class Make>
Grammar Built(const Make& make) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  builder.Define(root, make(builder));
  return builder.Take();
}

TEST(GrammarBuilder, CharsAreTheUtf8OfTheirCodePoints) {
  const CodePoints points = {{'b', 'd'},       {0x7F, 0x83},      {0x7FE, 0x802},
                             {0xD7FE, 0xE001}, {0xFFFE, 0x10002}, {0x10FFFF, 0x10FFFF}};
  const Grammar grammar = Built([&](GrammarBuilder& builder) { return builder.Chars(points); });
  for (uint32_t point = 0; point <= kMaxCodePoint; point += point < 0x11000 ? 1 : 997) {
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    EXPECT_EQ(Recognises(grammar, Utf8(point)), !surrogate && Contains(points, point)) << point;
  }
  EXPECT_TRUE(Recognises(grammar, Utf8(0x10FFFF)));
  EXPECT_FALSE(Recognises(grammar, "\xED\xA0\x80"));  // a surrogate
  EXPECT_FALSE(Recognises(grammar, "\xC1\xA2"));      // 'b', too long
}

TEST(GrammarBuilder, RepeatsOfRepeatsAreCountedOnce) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule();
  const int32_t inner = builder.Repeat(builder.Literal("a"), 1, 50);
  builder.Define(root, builder.Repeat(inner, 1, 50));
  const Grammar grammar = builder.Take();
  const GrammarNode& node = grammar.nodes[grammar.rules[0]];
  EXPECT_EQ(node.kind, GrammarNode::Kind::kRepeat);
  EXPECT_EQ(node.min, 1);
  EXPECT_EQ(node.max, 2500);
  EXPECT_EQ(grammar.nodes[node.children[0]].text, "a");
}

TEST(GrammarBuilder, RepeatsWithGapsStayAsTheyAre) {
  const Grammar grammar = Built([](GrammarBuilder& builder) {
    return builder.Repeat(builder.Repeat(builder.Literal("a"), 3, 4), 1, 2);  // 3, 4, 6, 7 or 8
  });
  for (int n = 0; n < 10; ++n) {
    EXPECT_EQ(Recognises(grammar, std::string(n, 'a')), n == 3 || n == 4 || (n >= 6 && n <= 8)) << n;
  }
}

TEST(GrammarBuilder, DeadEndsAreTakenOut) {
  GrammarBuilder builder;
  const int32_t root = builder.NewRule(), loop = builder.NewRule();
  builder.Define(loop, builder.Sequence({builder.Literal("x"), builder.Rule(loop)}));
  const int32_t dead = builder.Sequence({builder.Literal("b"), builder.Rule(loop)});
  builder.Define(root, builder.Sequence({builder.Choice({builder.Literal("a"), dead}), builder.Repeat(dead, 0, 3)}));
  const Grammar grammar = builder.Take();
  EXPECT_EQ(grammar.nodes[grammar.rules[loop]].kind, GrammarNode::Kind::kNothing);
  EXPECT_TRUE(Recognises(grammar, "a"));
  for (const GrammarNode& node : grammar.nodes) {
    if (node.kind != GrammarNode::Kind::kChoice && node.kind != GrammarNode::Kind::kSequence) continue;
    for (const int32_t child : node.children) EXPECT_NE(grammar.nodes[child].kind, GrammarNode::Kind::kNothing);
  }
}

}  // namespace
}  // namespace braid
