#include "models/chat/output/json_walker.h"

#include <gtest/gtest.h>

#include <string>

namespace braid {
namespace {

using Step = JsonWalker::Step;

// Walks until the value is over; kMore: it is not.
Step Walk(std::string_view text) {
  JsonWalker walker;
  Step step = Step::kMore;
  for (const char byte : text) {
    if (step != Step::kMore) return Step::kBad;  // more text than one value
    step = walker.Push(byte);
  }
  return step;
}

TEST(JsonWalker, KnowsWhereAValueEnds) {
  for (const char* text : {"{}", "[]", "\"\"", "true", "null", R"({"a": [1, -0.5e+3, {"b": "c\n\u00e9\""}], "d": 0})",
                           " [ 0 , 10 ] ", "\"\n\""}) {
    const std::string trimmed = std::string(text).substr(0, std::string(text).find_last_not_of(' ') + 1);
    EXPECT_EQ(Walk(trimmed), Step::kDone) << text;
    for (size_t size = 0; size < trimmed.size(); ++size) EXPECT_EQ(Walk(trimmed.substr(0, size)), Step::kMore) << text;
  }
}

TEST(JsonWalker, KnowsThatANumberEndedByWhatFollows) {
  for (const char* text : {"0 ", "-1,", "1.5}", "1e5]", "120\n"}) EXPECT_EQ(Walk(text), Step::kEndedBefore) << text;
}

TEST(JsonWalker, RefusesWhatIsNoJson) {
  for (const char* text : {"}", "{a", "{\"a\" 1", "{\"a\":,", "[1,]", "{,", "01", "-a", "1.,", "1e,", "tru}", "nul ",
                           "\"\\x", "\"\\u12g", "{\"a\":1,}", "[1 2", "{]", "[}", "'"}) {
    JsonWalker walker;
    Step step = Step::kMore;
    for (const char* byte = text; *byte != '\0' && (step == Step::kMore); ++byte) step = walker.Push(*byte);
    EXPECT_TRUE(step == Step::kBad || (step == Step::kEndedBefore && std::string_view(text) == "01")) << text;
  }
}

TEST(JsonWalker, RefusesNestingBeyondItsDepth) {
  EXPECT_EQ(Walk(std::string(64, '[')), Step::kMore);
  EXPECT_EQ(Walk(std::string(64, '[') + std::string(64, ']')), Step::kDone);
  EXPECT_EQ(Walk(std::string(65, '[')), Step::kBad);
}

}  // namespace
}  // namespace braid
