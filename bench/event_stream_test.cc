#include "bench/event_stream.h"

#include <vector>

#include "gtest/gtest.h"

namespace braid::bench {
namespace {

std::vector<std::string> Events(std::string_view text, size_t piece) {
  std::vector<std::string> events;
  EventStreamParser parser([&](std::string_view data) { events.emplace_back(data); });
  for (size_t i = 0; i < text.size(); i += piece) parser.Feed(text.substr(i, piece));
  return events;
}

TEST(EventStream, GivesTheSameEventsWhereverTheBytesAreCut) {
  const std::string text =
      ": ping\n\ndata: {\"a\":1}\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\nid: 4\rdata:  \xC3\xA9\r\rdata\n\ndata: [DONE]\n\n";
  const std::vector<std::string> expected = {"{\"a\":1}", "two\nlines", " \xC3\xA9", "", "[DONE]"};
  for (size_t piece = 1; piece <= text.size(); ++piece) EXPECT_EQ(Events(text, piece), expected) << piece;
}

TEST(EventStream, KeepsAnUnfinishedEventToItself) {
  EXPECT_TRUE(Events("data: a", 3).empty());
  EXPECT_TRUE(Events("data: a\n", 3).empty());
  EXPECT_EQ(Events("data: a\n\ndata: b\n", 4), std::vector<std::string>{"a"});
}

TEST(EventStream, EmptyLinesAndCommentsAreNoEvents) { EXPECT_TRUE(Events("\n\n:x\n\nretry: 5\n\n", 2).empty()); }

}  // namespace
}  // namespace braid::bench
