#include "server/http/query.h"

#include <gtest/gtest.h>

#include <random>

namespace braid {
namespace {

TEST(Query, ValuesAreFoundAndDecoded) {
  const char* query = "a=1&order=asc&&b&after=msg%5F1+x&a=2&e=";
  EXPECT_EQ(QueryParameter(query, "a"), "1");
  EXPECT_EQ(QueryParameter(query, "order"), "asc");
  EXPECT_EQ(QueryParameter(query, "after"), "msg_1 x");
  EXPECT_EQ(QueryParameter(query, "b"), "");
  EXPECT_EQ(QueryParameter(query, "e"), "");
  EXPECT_EQ(QueryParameter(query, "ord"), std::nullopt);
  EXPECT_EQ(QueryParameter("", "a"), std::nullopt);
}

TEST(Query, BrokenEscapesStay) {
  for (const char* value : {"%", "%4", "%zz", "%00", "a%"}) {
    EXPECT_EQ(QueryParameter(std::string("a=") + value, "a"), value);
  }
}

TEST(Query, AnyQueryIsRead) {
  std::mt19937 random(5);
  int found = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string query;
    for (size_t i = random() % 12; i > 0; --i) query.push_back("a=&%4f+\0z"[random() % 9]);
    const auto value = QueryParameter(query, "a");
    found += value.has_value();
    if (value.has_value()) {
      EXPECT_LT(value->size(), query.size() + 1);
    }
  }
  EXPECT_GT(found, 1000);
}

}  // namespace
}  // namespace braid
