#include "models/weights/json_cursor.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

bool Skips(const std::string& text) {
  JsonCursor cursor(text);
  return cursor.Skip() && cursor.End();
}

TEST(JsonCursor, SkipsAnyValue) { EXPECT_TRUE(Skips(R"( {"a": [1, -2.5e3, true, null, "x\"y\u00e9"], "b": {}} )")); }

TEST(JsonCursor, RefusesWhatIsNoJson) {
  for (const char* text :
       {"", "{", "[1,]", "[1 2]", "{\"a\"}", "{\"a\":1,}", "nul", "01x", "\"open", "\"\\", "[]]", "{a:1}", "\"\n\""}) {
    EXPECT_FALSE(Skips(text)) << text;
  }
}

TEST(JsonCursor, BoundsTheDepth) {
  EXPECT_TRUE(Skips(std::string(64, '[') + std::string(64, ']')));
  EXPECT_FALSE(Skips(std::string(65, '[') + std::string(65, ']')));
  EXPECT_FALSE(Skips(std::string(1'000'000, '[')));
}

TEST(JsonCursor, UnsignedIsExact) {
  uint64_t value = 0;
  EXPECT_TRUE(JsonCursor("18446744073709551615").Unsigned(&value));
  EXPECT_EQ(value, ~uint64_t{0});
  for (const char* text : {"18446744073709551616", "-1", "1.0", "1e3", "00", "\"1\"", "+1", ""}) {
    EXPECT_FALSE(JsonCursor(text).Unsigned(&value)) << text;
  }
}

TEST(JsonCursor, TextIsDecodedAndFreeOfControlBytes) {
  std::string text;
  EXPECT_TRUE(JsonCursor(R"("a\u0041\/")").Text(&text));
  EXPECT_EQ(text, "aA/");
  EXPECT_FALSE(JsonCursor(R"("a\u0000")").Text(&text));
  EXPECT_FALSE(JsonCursor("\"\xff\"").Text(&text));
  EXPECT_FALSE(JsonCursor("\"" + std::string(5'000, 'a') + "\"").Text(&text));
}

}  // namespace
}  // namespace braid
