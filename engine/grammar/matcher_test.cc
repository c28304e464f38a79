#include "engine/grammar/matcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <thread>

#include "models/tokenizer/token_vectors.h"

namespace braid {
namespace {

using testing::HasSubstr;

using Ids = std::vector<int32_t>;

ByteSet SetOf(std::string_view text) {
  ByteSet set;
  for (char c : text) set.set(static_cast<uint8_t>(c));
  return set;
}
ByteSet AllBut(std::string_view text) { return ~SetOf(text); }

// All single bytes, then `more`; the last id ends, the ones before it are special.
std::shared_ptr<const TokenVocabulary> SmallVocabulary(std::vector<std::string> more,
                                                       std::vector<std::string> special = {}) {
  std::vector<std::string> bytes;
  for (int b = 0; b < 256; ++b) bytes.emplace_back(1, static_cast<char>(b));
  for (auto& token : more) bytes.push_back(std::move(token));
  std::vector<bool> is_special(bytes.size(), false);
  for (auto& token : special) bytes.push_back(std::move(token));
  bytes.emplace_back("</s>");
  is_special.resize(bytes.size(), true);
  const auto end = static_cast<int32_t>(bytes.size()) - 1;
  return TokenVocabulary::Make(std::move(bytes), std::move(is_special), {end});
}

// A grammar whose root is what `make` returns.
template <class Make>
Grammar Root(Make make) {
  GrammarBuilder b;
  const int32_t root = b.NewRule();
  b.Define(root, make(b));
  return b.Take();
}

GrammarMatcher Matcher(const Grammar& grammar, std::shared_ptr<const TokenVocabulary> vocabulary = SmallVocabulary({})) {
  auto compiled = CompiledGrammar::Compile(grammar, std::move(vocabulary));
  EXPECT_TRUE(compiled.ok()) << compiled.status();
  return GrammarMatcher(*compiled);
}

bool Matches(const Grammar& grammar, std::string_view text) {
  GrammarMatcher matcher = Matcher(grammar);
  return matcher.AcceptBytes(text) && matcher.CanEnd();
}

bool Bit(const std::vector<uint32_t>& words, int32_t id) { return words[id / 32] >> id % 32 & 1; }

std::vector<uint32_t> MaskOf(const GrammarMatcher& matcher, int size) {
  std::vector<uint32_t> words((size + 31) / 32, 0xDEADBEEF);
  matcher.FillMask(words);
  return words;
}

// The mask bit of each token against a copy that takes the token. Returns those that may come.
Ids CheckMask(const GrammarMatcher& matcher, const TokenVocabulary& vocabulary, const std::string& context) {
  const auto words = MaskOf(matcher, vocabulary.size());
  Ids allowed;
  GrammarMatcher copy = matcher;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const bool taken = copy.AcceptToken(id);
    if (taken) {
      allowed.push_back(id);
      copy = matcher;
    }
    EXPECT_EQ(taken, Bit(words, id)) << context << " token " << id << " '" << vocabulary.bytes(id) << "'";
    if (testing::Test::HasFailure()) return {};
  }
  for (size_t bit = vocabulary.size(); bit < words.size() * 32; ++bit) EXPECT_FALSE(Bit(words, static_cast<int32_t>(bit)));
  return allowed;
}

// JSON by hand: values, strings of at least `min` and at most `max` characters, spaces between.
Grammar JsonGrammar(int min, int max) {
  GrammarBuilder b;
  const int32_t value = b.NewRule(), string = b.NewRule();
  const int32_t space = b.Repeat(b.Bytes(SetOf(" \n")), 0, 20);
  const int32_t plain = b.Chars({{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}});
  const int32_t character = b.Choice({plain, b.Sequence({b.Literal("\\"), b.Bytes(SetOf("\"\\/bfnrt"))})});
  b.Define(string, b.Sequence({b.Literal("\""), b.Repeat(character, min, max), b.Literal("\"")}));
  const int32_t digits = b.Repeat(b.Bytes(SetOf("0123456789")), 1, -1);
  const int32_t number = b.Sequence({b.Repeat(b.Literal("-"), 0, 1), digits,
                                     b.Repeat(b.Sequence({b.Literal("."), digits}), 0, 1)});
  const auto listed = [&](int32_t item, const char* open, const char* close) {
    const int32_t tail = b.Repeat(b.Sequence({b.Literal(","), space, item, space}), 0, -1);
    return b.Sequence({b.Literal(open), space, b.Repeat(b.Sequence({item, space, tail}), 0, 1), b.Literal(close)});
  };
  const int32_t pair = b.Sequence({b.Rule(string), space, b.Literal(":"), space, b.Rule(value)});
  b.Define(value, b.Choice({b.Rule(string), number, b.Literal("true"), b.Literal("false"), b.Literal("null"),
                            listed(b.Rule(value), "[", "]"), listed(pair, "{", "}")}));
  return b.Take();
}

TEST(GrammarMatcher, AcceptsWholeSentencesOnly) {
  const Grammar grammar = JsonGrammar(0, -1);
  for (const char* good : {"1", "-2.5", "\"\"", "\"a\\n\xC3\xA9\xF0\x9F\x99\x82\"", "[]", "[1, 2 ,[3]]", "{\"a\":{\"b\":null}}"}) {
    EXPECT_TRUE(Matches(grammar, good)) << good;
  }
  for (const char* bad : {"", "-", "01a", "\"", "\"\\x\"", "\"\xC3\"", "[1,]", "{\"a\"}", "[1 2]", "truefalse", "1 "}) {
    EXPECT_FALSE(Matches(grammar, bad)) << bad;
  }
}

TEST(GrammarMatcher, StaysUnchangedWhenItRefuses) {
  GrammarMatcher matcher = Matcher(JsonGrammar(0, -1));
  ASSERT_TRUE(matcher.AcceptBytes("[1"));
  EXPECT_FALSE(matcher.AcceptBytes(", 2}"));
  EXPECT_FALSE(matcher.AcceptBytes(std::string(1000, '1') + "x"));
  EXPECT_FALSE(matcher.AcceptToken(-1));
  EXPECT_FALSE(matcher.AcceptToken(1 << 30));
  EXPECT_TRUE(matcher.AcceptBytes("]"));
  EXPECT_TRUE(matcher.CanEnd());
}

TEST(GrammarMatcher, SaysWhenNothingMayFollow) {
  GrammarMatcher matcher = Matcher(Root([](GrammarBuilder& b) {
    return b.Sequence({b.Literal("a"), b.Repeat(b.Literal("b"), 0, 40), b.Literal("c")});
  }));
  EXPECT_FALSE(matcher.CanEnd());
  ASSERT_TRUE(matcher.AcceptBytes("abbbbbbbbbbc"));
  EXPECT_TRUE(matcher.CanEnd());
  EXPECT_TRUE(matcher.MustEnd());
  GrammarMatcher open = Matcher(Root([](GrammarBuilder& b) { return b.Repeat(b.Bytes(SetOf("b")), 1, 40); }));
  ASSERT_TRUE(open.AcceptBytes(std::string(39, 'b')));
  EXPECT_TRUE(open.CanEnd());
  EXPECT_FALSE(open.MustEnd());
  ASSERT_TRUE(open.AcceptBytes("b"));
  EXPECT_TRUE(open.MustEnd());
  EXPECT_FALSE(open.AcceptBytes("b"));
}

TEST(GrammarMatcher, EndIdsComeOnlyWhereTheGrammarCanEnd) {
  const auto vocabulary = SmallVocabulary({"ab"});
  const int32_t end = vocabulary->size() - 1;
  GrammarMatcher matcher = Matcher(Root([](GrammarBuilder& b) { return b.Literal("ab"); }), vocabulary);
  EXPECT_EQ(CheckMask(matcher, *vocabulary, "start"), (Ids{'a', 256}));
  EXPECT_FALSE(matcher.AcceptToken(end));
  ASSERT_TRUE(matcher.AcceptToken(256));
  EXPECT_EQ(CheckMask(matcher, *vocabulary, "end"), Ids{end});
  EXPECT_TRUE(matcher.AcceptToken(end));
  EXPECT_TRUE(matcher.MustEnd());
}

TEST(GrammarMatcher, RefusesGrammarsWithoutSentences) {
  const auto refused = [](const Grammar& grammar) {
    return CompiledGrammar::Compile(grammar, SmallVocabulary({})).status();
  };
  EXPECT_THAT(std::string(refused(Root([](GrammarBuilder& b) { return b.Nothing(); })).message()), HasSubstr("no text"));
  EXPECT_EQ(refused(Root([](GrammarBuilder& b) { return b.Sequence({b.Literal("a"), b.Bytes({})}); })).code(),
            absl::StatusCode::kInvalidArgument);
  GrammarBuilder b;
  const int32_t root = b.NewRule();
  b.Define(root, b.Sequence({b.Literal("a"), b.Rule(root)}));
  EXPECT_FALSE(refused(b.Take()).ok());
  // What cannot match is left out of what can.
  const Grammar some = Root([](GrammarBuilder& b) {
    return b.Choice({b.Sequence({b.Literal("ab"), b.Nothing()}), b.Literal("ac"), b.Repeat(b.Nothing(), 0, 5)});
  });
  EXPECT_TRUE(Matches(some, "ac"));
  EXPECT_TRUE(Matches(some, ""));
  GrammarMatcher matcher = Matcher(some);
  ASSERT_TRUE(matcher.AcceptBytes("a"));
  EXPECT_EQ(CheckMask(matcher, *SmallVocabulary({}), "a"), Ids{'c'});
}

TEST(GrammarMatcher, CountsLargeRepeatsWithoutSpellingThemOut) {
  const Grammar grammar = Root([](GrammarBuilder& b) { return b.Repeat(b.Bytes(AllBut("\"")), 9000, 10000); });
  for (int n : {0, 8999, 9000, 10000, 10001}) {
    EXPECT_EQ(Matches(grammar, std::string(n, 'x')), n >= 9000 && n <= 10000) << n;
  }
  auto compiled = CompiledGrammar::Compile(grammar, SmallVocabulary({}));
  ASSERT_TRUE(compiled.ok());
  EXPECT_LT((*compiled)->automaton().num_states(), 10);
}

TEST(GrammarMatcher, CountsNestedRepeats) {
  // (a{20,30};){25,40}
  const Grammar grammar = Root([](GrammarBuilder& b) {
    const int32_t inner = b.Repeat(b.Literal("a"), 20, 30);
    return b.Repeat(b.Sequence({inner, b.Literal(";")}), 25, 40);
  });
  const auto text = [](int inner, int outer) {
    std::string all;
    for (int i = 0; i < outer; ++i) all += std::string(inner, 'a') + ";";
    return all;
  };
  for (int inner : {19, 20, 30, 31}) {
    for (int outer : {24, 25, 40, 41}) {
      EXPECT_EQ(Matches(grammar, text(inner, outer)), inner >= 20 && inner <= 30 && outer >= 25 && outer <= 40);
    }
  }
}

TEST(GrammarMatcher, CountsAmbiguousRepeatsExactly) {
  // (a|aa|aaa){5000,5001}: any length from 5000 to 15003.
  const Grammar grammar = Root([](GrammarBuilder& b) {
    return b.Repeat(b.Choice({b.Literal("a"), b.Literal("aa"), b.Literal("aaa")}), 5000, 5001);
  });
  for (int n : {4999, 5000, 9000, 15003, 15004}) {
    EXPECT_EQ(Matches(grammar, std::string(n, 'a')), n >= 5000 && n <= 15003) << n;
  }
  // (aaa|aaaaa){1000}: gaps at both ends.
  const Grammar gaps = Root([](GrammarBuilder& b) {
    return b.Repeat(b.Choice({b.Literal("aaa"), b.Literal("aaaaa")}), 200, 200);
  });
  for (int n : {599, 600, 601, 602, 800, 998, 999, 1000, 1001}) {
    EXPECT_EQ(Matches(gaps, std::string(n, 'a')), n >= 600 && n <= 1000 && n % 2 == 0) << n;
  }
}

TEST(GrammarMatcher, CountsRepeatsOfWhatMayBeEmpty) {
  const Grammar grammar = Root([](GrammarBuilder& b) {
    return b.Sequence({b.Repeat(b.Repeat(b.Literal("ab"), 0, 1), 500, 600), b.Literal(".")});
  });
  const auto text = [](int n) {
    std::string all;
    for (int i = 0; i < n; ++i) all += "ab";
    return all + ".";
  };
  EXPECT_TRUE(Matches(grammar, text(0)));
  EXPECT_TRUE(Matches(grammar, text(600)));
  EXPECT_FALSE(Matches(grammar, text(601)));
}

TEST(GrammarMatcher, FollowsLeftRecursion) {
  GrammarBuilder b;
  const int32_t sum = b.NewRule(), product = b.NewRule(), empty = b.NewRule();
  b.Define(sum, b.Choice({b.Sequence({b.Rule(empty), b.Rule(sum), b.Literal("+"), b.Rule(product)}), b.Rule(product)}));
  b.Define(product, b.Choice({b.Sequence({b.Rule(product), b.Literal("*"), b.Literal("x")}), b.Literal("x"),
                              b.Sequence({b.Literal("("), b.Rule(sum), b.Literal(")")})}));
  b.Define(empty, b.Repeat(b.Literal("~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~"), 0, 1));
  const Grammar grammar = b.Take();
  EXPECT_TRUE(Matches(grammar, "x"));
  EXPECT_TRUE(Matches(grammar, "x+x*x+(x+x)*x"));
  EXPECT_FALSE(Matches(grammar, "x+"));
  EXPECT_FALSE(Matches(grammar, "(x"));
  EXPECT_FALSE(Matches(grammar, "*x"));
  std::string text = "x";
  for (int i = 0; i < 100000; ++i) text += "+x";
  GrammarMatcher matcher = Matcher(grammar);
  ASSERT_TRUE(matcher.AcceptBytes(text));
  EXPECT_LT(matcher.num_frames(), 1000u);
}

TEST(GrammarMatcher, EndsRecursionThroughItself) {
  // a ::= a | b | "x"; b ::= a a | ""
  GrammarBuilder b;
  const int32_t first = b.NewRule(), second = b.NewRule();
  b.Define(first, b.Choice({b.Rule(first), b.Rule(second), b.Literal("x")}));
  b.Define(second, b.Choice({b.Sequence({b.Rule(first), b.Rule(first)}), b.Empty()}));
  const Grammar grammar = b.Take();
  for (int n : {0, 1, 2, 3, 50}) EXPECT_TRUE(Matches(grammar, std::string(n, 'x'))) << n;
  EXPECT_FALSE(Matches(grammar, "xy"));
}

TEST(GrammarMatcher, RightRecursionDoesNotGrow) {
  GrammarBuilder b;
  const int32_t root = b.NewRule(), other = b.NewRule();
  b.Define(root, b.Sequence({b.Literal("a"), b.Rule(other)}));
  b.Define(other, b.Choice({b.Sequence({b.Literal("b"), b.Rule(root)}), b.Literal(".")}));
  GrammarMatcher matcher = Matcher(b.Take());
  for (int i = 0; i < 500000; ++i) ASSERT_TRUE(matcher.AcceptBytes("ab"));
  EXPECT_LT(matcher.num_frames(), 1000u);
  std::string text;
  for (int i = 0; i < 500000; ++i) text += "ab";
  ASSERT_TRUE(matcher.AcceptBytes(text + "a."));
  EXPECT_TRUE(matcher.MustEnd());
}

TEST(GrammarMatcher, DeepNestingIsOneFrameALevel) {
  GrammarMatcher matcher = Matcher(JsonGrammar(0, -1));
  ASSERT_TRUE(matcher.AcceptBytes(std::string(100000, '[')));
  EXPECT_FALSE(matcher.AcceptBytes(std::string(100001, ']')));
  ASSERT_TRUE(matcher.AcceptBytes(std::string(100000, ']')));
  EXPECT_TRUE(matcher.MustEnd());
  EXPECT_LT(matcher.num_frames(), 1000u);
}

TEST(GrammarMatcher, AmbiguityOfAnyDegreeIsLinearUpToTheBound) {
  // s ::= s s | "x": x^n has exponentially many trees.
  GrammarBuilder b;
  const int32_t root = b.NewRule();
  b.Define(root, b.Choice({b.Sequence({b.Rule(root), b.Rule(root)}), b.Literal("x")}));
  GrammarMatcher matcher = Matcher(b.Take());
  EXPECT_TRUE(matcher.AcceptBytes(std::string(300, 'x')));
  EXPECT_TRUE(matcher.CanEnd());
  EXPECT_FALSE(matcher.AcceptBytes("y"));
}

TEST(GrammarMatcher, AutomataThatWouldExplodeStayNondeterministic) {
  // (a|b)*a(a|b){18}
  const Grammar grammar = Root([](GrammarBuilder& b) {
    const int32_t any = b.Bytes(SetOf("ab"));
    std::vector<int32_t> parts{b.Repeat(any, 0, -1), b.Literal("a")};
    for (int i = 0; i < 18; ++i) parts.push_back(any);
    return b.Sequence(parts);
  });
  EXPECT_TRUE(Matches(grammar, "abab" "a" + std::string(18, 'b')));
  EXPECT_FALSE(Matches(grammar, "abab" "b" + std::string(18, 'b')));
  const auto vocabulary = SmallVocabulary({"ab", "bbb", "abc", "aaaa", std::string(19, 'a')});
  GrammarMatcher matcher = Matcher(grammar, vocabulary);
  CheckMask(matcher, *vocabulary, "start");
  ASSERT_TRUE(matcher.AcceptBytes("abbbbbbbbbbbbbbbbbb"));
  CheckMask(matcher, *vocabulary, "end");
}

TEST(GrammarMatcher, MarkersAreSpecialTokensOrTheirText) {
  const Grammar grammar = Root([](GrammarBuilder& b) {
    const int32_t call = b.Sequence({b.Marker("<call>"), b.Repeat(b.Bytes(SetOf("abc")), 1, 3), b.Marker("</call>")});
    return b.Sequence({b.Repeat(b.Bytes(AllBut("\n")), 0, -1), b.Repeat(call, 1, 1)});
  });
  const auto vocabulary = SmallVocabulary({"<", "<call", "ab"}, {"<call>", "<other>"});
  const int32_t marker = 259, other = 260;
  GrammarMatcher matcher = Matcher(grammar, vocabulary);
  Ids allowed = CheckMask(matcher, *vocabulary, "start");
  EXPECT_TRUE(std::count(allowed.begin(), allowed.end(), marker));
  EXPECT_FALSE(std::count(allowed.begin(), allowed.end(), other));
  GrammarMatcher by_text = matcher, by_bytes = matcher;
  ASSERT_TRUE(matcher.AcceptToken(marker));
  EXPECT_EQ(CheckMask(matcher, *vocabulary, "marker"), (Ids{'a', 'b', 'c', 258}));
  // "</call>" is no token of this vocabulary: it is spelled.
  ASSERT_TRUE(matcher.AcceptBytes("abc"));
  EXPECT_EQ(CheckMask(matcher, *vocabulary, "abc"), (Ids{'<', 256}));
  ASSERT_TRUE(matcher.AcceptBytes("</call>"));
  EXPECT_TRUE(matcher.CanEnd());
  // The text of a marker counts in AcceptBytes; ordinary tokens that spell it do not.
  ASSERT_TRUE(by_text.AcceptBytes("hello<call>a</call>"));
  EXPECT_TRUE(by_text.CanEnd());
  for (int32_t id : {257, static_cast<int32_t>('>'), static_cast<int32_t>('a')}) ASSERT_TRUE(by_bytes.AcceptToken(id));
  for (char c : std::string_view("</call>")) ASSERT_TRUE(by_bytes.AcceptToken(static_cast<uint8_t>(c)));
  EXPECT_FALSE(by_bytes.CanEnd());
}

TEST(GrammarMatcher, CopiesGoTheirOwnWay) {
  GrammarMatcher a = Matcher(JsonGrammar(0, -1));
  ASSERT_TRUE(a.AcceptBytes("[[1, "));
  GrammarMatcher b = a;
  ASSERT_TRUE(a.AcceptBytes("2]]"));
  ASSERT_TRUE(b.AcceptBytes("[[3]]]"));
  EXPECT_TRUE(a.CanEnd());
  EXPECT_FALSE(b.CanEnd());
  a = b;
  ASSERT_TRUE(a.AcceptBytes("]"));
  EXPECT_TRUE(a.MustEnd());
}

TEST(GrammarMatcher, DeepNodesAndSharedNodesStaySmall) {
  GrammarBuilder deep;
  const int32_t root = deep.NewRule();
  int32_t node = deep.Literal("x");
  for (int i = 0; i < 20000; ++i) node = deep.Sequence({deep.Literal("("), node, deep.Literal(")")});
  deep.Define(root, node);
  EXPECT_TRUE(Matches(deep.Take(), std::string(20000, '(') + "x" + std::string(20000, ')')));
  // 2^60 copies when spelled out.
  GrammarBuilder wide;
  const int32_t start = wide.NewRule();
  node = wide.Choice({wide.Literal("ab"), wide.Literal("cd")});
  for (int i = 0; i < 60; ++i) node = wide.Sequence({node, wide.Literal("-"), node});
  wide.Define(start, node);
  GrammarMatcher matcher = Matcher(wide.Take());
  EXPECT_TRUE(matcher.AcceptBytes("ab-cd-ab-"));
  EXPECT_FALSE(matcher.AcceptBytes("-"));
}

// Random texts by random walks over the mask: every mask is what taking each token says.
void WalkRandomly(const Grammar& grammar, const std::shared_ptr<const TokenVocabulary>& vocabulary, int steps,
                  std::mt19937* random, const std::string& name) {
  GrammarMatcher matcher = Matcher(grammar, vocabulary);
  std::string context = name + ": ";
  for (int step = 0; step < steps; ++step) {
    const Ids allowed = CheckMask(matcher, *vocabulary, context);
    if (allowed.empty()) return;
    const int32_t id = allowed[(*random)() % allowed.size()];
    if (vocabulary->IsEnd(id)) continue;
    context += std::string(vocabulary->bytes(id)) + "|";
    ASSERT_TRUE(matcher.AcceptToken(id)) << context;
  }
}

class RandomGrammar {
 public:
  explicit RandomGrammar(std::mt19937* random) : random_(*random) {}

  Grammar Make() {
    const int rules = 1 + Below(4);
    for (int i = 0; i < rules; ++i) rules_.push_back(builder_.NewRule());
    for (int32_t rule : rules_) builder_.Define(rule, Node(4));
    return builder_.Take();
  }

 private:
  int Below(int n) { return static_cast<int>(random_() % n); }
  std::string Word() {
    std::string word;
    for (int i = Below(4); i >= 0; --i) word += "abc\""[Below(4)];
    return word;
  }
  int32_t Node(int depth) {
    switch (depth == 0 ? Below(4) : Below(12)) {
      case 0: return builder_.Literal(Word());
      case 1: return builder_.Bytes(Below(3) ? SetOf(Word()) : AllBut(Word()));
      case 2: return Below(4) ? builder_.Rule(rules_[Below(static_cast<int>(rules_.size()))]) : builder_.Empty();
      case 3: return Below(3) ? builder_.Literal(Word()) : builder_.Marker(Below(2) ? "<m>" : "<n>");
      case 4: case 5: case 6: return builder_.Sequence({Node(depth - 1), Node(depth - 1), Node(depth - 1)});
      case 7: case 8: return builder_.Choice({Node(depth - 1), Node(depth - 1)});
      default: {
        const int min = Below(2) ? 0 : Below(30), kind = Below(4);
        return builder_.Repeat(Node(depth - 1), min, kind == 0 ? -1 : min + (kind == 1 ? 1 : Below(40)));
      }
    }
  }

  std::mt19937& random_;
  GrammarBuilder builder_;
  std::vector<int32_t> rules_;
};

// The definition: for each node and place of a short text, the places where a match may end, as bits; grown until
// nothing changes.
class Definition {
 public:
  Definition(const Grammar& grammar, std::string_view text)
      : grammar_(grammar), text_(text), ends_(grammar.nodes.size(), std::vector<uint32_t>(text.size() + 1)) {
    for (bool grown = true; grown;) {
      grown = false;
      for (size_t node = 0; node < ends_.size(); ++node) {
        for (size_t at = 0; at <= text.size(); ++at) {
          const uint32_t ends = ends_[node][at] | Ends(grammar.nodes[node], at);
          grown |= ends != ends_[node][at];
          ends_[node][at] = ends;
        }
      }
    }
  }
  bool Matches() const { return ends_[grammar_.rules[0]][0] >> text_.size() & 1; }

 private:
  uint32_t After(int32_t node, uint32_t places) const {
    uint32_t ends = 0;
    for (size_t at = 0; at <= text_.size(); ++at) {
      if (places >> at & 1) ends |= ends_[node][at];
    }
    return ends;
  }
  uint32_t Ends(const GrammarNode& node, size_t at) const {
    using Kind = GrammarNode::Kind;
    uint32_t places = uint32_t{1} << at, ends = 0;
    switch (node.kind) {
      case Kind::kEmpty: return places;
      case Kind::kNothing: return 0;
      case Kind::kBytes: return at < text_.size() && node.bytes[static_cast<uint8_t>(text_[at])] ? places << 1 : 0;
      case Kind::kLiteral: case Kind::kMarker:
        return text_.substr(at, node.text.size()) == node.text ? places << node.text.size() : 0;
      case Kind::kSequence:
        for (int32_t child : node.children) places = After(child, places);
        return places;
      case Kind::kChoice:
        for (int32_t child : node.children) ends |= After(child, places);
        return ends;
      case Kind::kRule: return After(grammar_.rules[node.rule], places);
      case Kind::kRepeat: break;
    }
    const int most = node.max < 0 ? node.min + 20 : node.max;
    for (int i = 0; i <= most && places != 0; ++i) {
      if (i >= node.min) ends |= places;
      places = After(node.children[0], places);
    }
    return ends;
  }

  const Grammar& grammar_;
  std::string_view text_;
  std::vector<std::vector<uint32_t>> ends_;
};

TEST(GrammarMatcher, AcceptsWhatTheDefinitionSaysForRandomGrammars) {
  std::mt19937 random(11);
  const auto vocabulary = SmallVocabulary({}, {"<m>"});
  int accepted = 0;
  for (int i = 0; i < 400 && !HasFailure(); ++i) {
    const Grammar grammar = RandomGrammar(&random).Make();
    const auto compiled = CompiledGrammar::Compile(grammar, vocabulary);
    if (!compiled.ok()) continue;
    for (int j = 0; j < 4; ++j) {
      GrammarMatcher matcher(*compiled);
      std::string text;  // a walk that mostly stays inside
      for (int tries = 0; tries < 24 && text.size() < 10; ++tries) {
        const char c = "aabbcc\"\"<m>n"[random() % 12];
        if (matcher.AcceptBytes({&c, 1})) text += c;
      }
      const Definition definition(grammar, text);
      ASSERT_EQ(matcher.CanEnd(), definition.Matches()) << "grammar " << i << " text " << text;
      accepted += matcher.CanEnd();
      for (char c : {'a', 'c', '"'}) {
        GrammarMatcher copy = matcher;
        const std::string longer = text + c;
        const bool ends = copy.AcceptBytes({&c, 1}) && copy.CanEnd();
        ASSERT_EQ(ends, Definition(grammar, longer).Matches()) << "grammar " << i << " text " << longer;
      }
    }
  }
  EXPECT_GT(accepted, 100);
}

// The bytes that come one behind the other where the mask leaves one token of one byte and nothing else of one byte.
std::string ForcedByMasks(GrammarMatcher matcher, const TokenVocabulary& vocabulary, size_t most) {
  std::string text;
  while (text.size() < most) {
    const auto words = MaskOf(matcher, vocabulary.size());
    Ids may;
    for (int32_t id = 0; id < vocabulary.size(); ++id) {
      if (Bit(words, id) && (id < 256 || vocabulary.IsSpecial(id))) may.push_back(id);
    }
    if (may.size() != 1 || may[0] >= 256) return text;
    text += static_cast<char>(may[0]);
    EXPECT_TRUE(matcher.AcceptToken(may[0]));
  }
  return text;
}

TEST(GrammarMatcher, ForcedTextIsWhatMasksLeaveForRandomGrammars) {
  std::mt19937 random(23);
  const auto vocabulary = SmallVocabulary({}, {"<m>"});
  size_t forced = 0;
  for (int i = 0; i < 400 && !HasFailure(); ++i) {
    const auto compiled = CompiledGrammar::Compile(RandomGrammar(&random).Make(), vocabulary);
    if (!compiled.ok()) continue;
    GrammarMatcher matcher(*compiled);
    for (int tries = 0; tries < 20; ++tries) {
      const std::string expected = ForcedByMasks(matcher, *vocabulary, 9);
      const auto before = MaskOf(matcher, vocabulary->size());
      ASSERT_EQ(matcher.ForcedText(9), expected) << "grammar " << i;
      ASSERT_EQ(matcher.ForcedText(1), expected.substr(0, 1)) << "grammar " << i;
      ASSERT_EQ(MaskOf(matcher, vocabulary->size()), before) << "grammar " << i;
      forced += expected.size();
      const char c = "abc\"<"[random() % 5];
      matcher.AcceptBytes({&c, 1});
    }
  }
  EXPECT_GT(forced, 300u);
}

TEST(TokenVocabulary, LongestPrefixIsTheLongestOrdinaryToken) {
  const auto vocabulary = SmallVocabulary({"ab", "abcd", "abce", "a"}, {"abc"});
  EXPECT_EQ(vocabulary->LongestPrefixOf("abcx"), 256);
  EXPECT_EQ(vocabulary->LongestPrefixOf("abcdx"), 257);
  EXPECT_EQ(vocabulary->LongestPrefixOf("abce"), 258);
  EXPECT_EQ(vocabulary->LongestPrefixOf("ac"), 259);  // the last of those that are equal
  EXPECT_EQ(vocabulary->LongestPrefixOf("\xff"), 255);
  EXPECT_EQ(vocabulary->LongestPrefixOf(""), -1);
  EXPECT_EQ(TokenVocabulary::Make({"b", "bc"}, {false, false}, {})->LongestPrefixOf("a"), -1);
  EXPECT_EQ(TokenVocabulary::Make({"b", "bc"}, {false, false}, {})->LongestPrefixOf("c"), -1);
}

TEST(GrammarMask, IsWhatTakingEachTokenSaysForRandomGrammars) {
  std::mt19937 random(7);
  std::vector<std::string> words{"\"\"", "\xC3\xA9", "<m", "m>"};
  for (int i = 0; i < 300; ++i) {
    std::string word;
    for (int n = 1 + static_cast<int>(random() % 6); n > 0; --n) word += "abc\""[random() % 4];
    words.push_back(word);
  }
  const auto vocabulary = SmallVocabulary(words, {"<m>"});
  int compiled = 0;
  for (int i = 0; i < 300 && !HasFailure(); ++i) {
    const Grammar grammar = RandomGrammar(&random).Make();
    if (!CompiledGrammar::Compile(grammar, vocabulary).ok()) continue;
    ++compiled;
    WalkRandomly(grammar, vocabulary, 12, &random, "grammar " + std::to_string(i));
  }
  EXPECT_GT(compiled, 150);
}

// A vocabulary of tests/data or $BRAID_ORACLES by name; null when there is none.
std::shared_ptr<const TokenVocabulary> RealVocabulary(const std::string& name) {
  for (const auto& folder : VectorFolders()) {
    const auto path = folder / ("vocabs/" + name + ".json.gz");
    if (!std::filesystem::exists(path)) continue;
    const auto tokenizer = Tokenizer::FromJson(ReadAll(path));
    EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
    std::vector<std::string> bytes;
    std::vector<bool> special;
    for (int32_t id = 0; id < (*tokenizer)->vocab_size(); ++id) {
      bytes.emplace_back((*tokenizer)->TokenBytes(id));
      special.push_back((*tokenizer)->IsSpecial(id));
    }
    return TokenVocabulary::Make(std::move(bytes), std::move(special), {2});
  }
  return nullptr;
}

TEST(GrammarMask, IsWhatTakingEachTokenSaysForJsonOverARealVocabulary) {
  std::mt19937 random(3);
  for (const char* name : {"smollm2", "nemotron3"}) {
    const auto vocabulary = RealVocabulary(name);
    if (vocabulary == nullptr) continue;
    WalkRandomly(JsonGrammar(0, -1), vocabulary, 25, &random, "strings");
    WalkRandomly(JsonGrammar(3, 40), vocabulary, 25, &random, "bounded strings");
    GrammarMatcher matcher = Matcher(JsonGrammar(3, 40), vocabulary);
    ASSERT_TRUE(matcher.AcceptBytes("{\"name\": [ \"ab"));
    for (int i = 2; i < 40 && !HasFailure(); ++i) {
      CheckMask(matcher, *vocabulary, "string of " + std::to_string(i));
      ASSERT_TRUE(matcher.AcceptBytes("x"));
    }
  }
}

TEST(GrammarMask, MatchersOfOneGrammarMayRunAtOnce) {
  const auto vocabulary = SmallVocabulary({"\"ab", "\",", "[[", "]]", "1,", "\": "});
  auto compiled = CompiledGrammar::Compile(JsonGrammar(1, 50), vocabulary);
  ASSERT_TRUE(compiled.ok());
  const std::string text = "{\"a\": [1, 2, {\"bcd\": \"efg\"}], \"z\": [[[]]]}";
  std::vector<std::vector<uint32_t>> masks[4];
  std::vector<std::thread> threads;
  for (auto& mine : masks) {
    threads.emplace_back([&] {
      GrammarMatcher matcher(*compiled);
      for (char c : text) {
        mine.push_back(MaskOf(matcher, vocabulary->size()));
        ASSERT_TRUE(matcher.AcceptBytes({&c, 1}));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& mine : masks) EXPECT_EQ(mine, masks[0]);
}

TEST(GrammarMask, HostileGrammarsEndInTime) {
  // Every place of the text starts another count; every way out is a way on.
  const Grammar grammar = Root([](GrammarBuilder& b) {
    const int32_t any = b.Bytes(AllBut(""));
    const int32_t inner = b.Repeat(b.Repeat(any, 3, 5000), 1000, 9000);
    return b.Sequence({b.Repeat(inner, 1000, 2000), b.Literal("abc"), b.Repeat(any, 0, 9000)});
  });
  const auto vocabulary = SmallVocabulary({"ab", "abcab", "bcabc"});
  GrammarMatcher matcher = Matcher(grammar, vocabulary);
  for (int i = 0; i < 300 && matcher.AcceptBytes("abc"); ++i) {
  }
  MaskOf(matcher, vocabulary->size());
}

}  // namespace
}  // namespace braid
