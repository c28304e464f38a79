#include "kernels/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace braid {
namespace {

using ::testing::HasSubstr;

std::string ErrorOf(std::string_view text, const JsonLimits& limits = {}) {
  auto parsed = ParseJson(text, limits);
  return parsed.ok() ? "no error" : std::string(parsed.status().message());
}

TEST(Json, KeepsTheOrderOfMembers) {
  EXPECT_EQ(WriteJson(*ParseJson(R"({"b":1,"a":[true,null,"x"],"c":{"z":1.5,"y":{}}})")),
            R"({"b":1,"a":[true,null,"x"],"c":{"z":1.5,"y":{}}})");
}

TEST(Json, RefusesWhatIsNotStrict) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("at byte"));
  EXPECT_THAT(ErrorOf("{} {}"), HasSubstr("at byte"));
  EXPECT_THAT(ErrorOf("[NaN]"), HasSubstr("at byte"));
  EXPECT_THAT(ErrorOf("[01]"), HasSubstr("at byte"));
  EXPECT_THAT(ErrorOf("[1,]"), HasSubstr("at byte"));
  EXPECT_THAT(ErrorOf("[\"\xff\"]"), HasSubstr("UTF-8"));
  EXPECT_THAT(ErrorOf("[\"\\ud800\"]"), HasSubstr("surrogate"));
  EXPECT_THAT(ErrorOf("[1e999]"), HasSubstr("at byte"));
  EXPECT_THAT(ErrorOf(R"({"a":1,"a":2})"), HasSubstr("\"a\" is given twice"));
}

TEST(Json, EnforcesItsLimits) {
  EXPECT_EQ(ErrorOf(std::string(64, '[') + std::string(64, ']')), "no error");
  EXPECT_THAT(ErrorOf(std::string(65, '[') + std::string(65, ']')), HasSubstr("deeper than 64"));
  EXPECT_THAT(ErrorOf(std::string(1'000'000, '[')), HasSubstr("deeper than 64"));
  EXPECT_THAT(ErrorOf("0." + std::string(70, '1')), HasSubstr("64 digits"));
  EXPECT_THAT(ErrorOf(R"({"a":1,"b":2})", {.max_members = 1}), HasSubstr("more than 1 object members"));
}

TEST(Json, QuotesBareInfinityWhenAllowed) {
  auto parsed = ParseJson(R"({"limit":[0,Infinity],"s":"Infinity \" NaN"})", {.allow_bare_infinity = true});
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ((*parsed)["limit"][1], "Infinity");
  EXPECT_EQ((*parsed)["s"], "Infinity \" NaN");
}

TEST(Json, WritesIllFormedUtf8AsReplacement) { EXPECT_EQ(WriteJson("\xff"), "\"\xef\xbf\xbd\""); }

}  // namespace
}  // namespace braid
