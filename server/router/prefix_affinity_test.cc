#include "server/router/prefix_affinity.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

TEST(PrefixAffinity, FindsWhereTheLongestBeginningWent) {
  PrefixAffinity affinity(100);
  const std::string document(1000, 'd');
  affinity.Learn(document + "first", "a");
  EXPECT_EQ(affinity.Find(document + "second"), "a");
  affinity.Learn(document + std::string(1000, 'x'), "b");
  EXPECT_EQ(affinity.Find(document + std::string(1000, 'x') + "y"), "b");
  EXPECT_EQ(affinity.Find(std::string(1000, 'e')), "");
  EXPECT_EQ(affinity.Find("short"), "");
}

TEST(PrefixAffinity, ForgetsTheLongestUnused) {
  PrefixAffinity affinity(8);
  const auto prompt = [](char c) { return std::string(4 * PrefixAffinity::kPiece, c); };
  affinity.Learn(prompt('a'), "a");
  affinity.Learn(prompt('b'), "b");
  EXPECT_EQ(affinity.Find(prompt('a')), "a");  // its last piece is used
  affinity.Learn(prompt('c'), "c");
  EXPECT_EQ(affinity.size(), 8u);
  EXPECT_EQ(affinity.Find(prompt('b')), "");
  EXPECT_EQ(affinity.Find(prompt('a')), "a");
  EXPECT_EQ(affinity.Find(prompt('c')), "c");
}

}  // namespace
}  // namespace braid
