#include "server/http/event_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace braid {
namespace {

// LF, CRLF and CR; a comment, a name, lines to join, fields to pass over, data without a colon, an event cut short.
constexpr std::string_view kStream =
    ": ping\n\ndata: {\"a\":1}\n\nevent: named\r\ndata:one\r\ndata: two\r\n\r\nid: 3\rdata:  \xC3\xA9\r\rid: 4\n\ndata\n\n"
    "data:[DONE]\n\ndata: cut";

std::string Read(std::string_view bytes, size_t piece) {
  EventReader reader;
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    EXPECT_TRUE(reader.Feed(bytes.substr(at, piece), [&](std::string_view data, std::string_view type) {
      out.append(type).append("|").append(data).append(";");
    }));
  }
  return out;
}

TEST(EventReader, EventsDoNotDependOnHowBytesArrive) {
  for (size_t piece = 1; piece <= kStream.size(); ++piece) {
    EXPECT_EQ(Read(kStream, piece), "|{\"a\":1};named|one\ntwo;| \xC3\xA9;|;|[DONE];") << piece;
  }
}

TEST(EventReader, KeepsAnUnfinishedEventToItself) {
  EXPECT_EQ(Read("data: a", 3), "");
  EXPECT_EQ(Read("data: a\n", 3), "");
  EXPECT_EQ(Read("data: a\n\ndata: b\n", 4), "|a;");
}

TEST(EventReader, EmptyLinesAndCommentsAreNoEvents) { EXPECT_EQ(Read("\n\n:x\n\nretry: 5\n\nevent: x\n\n", 2), ""); }

TEST(EventReader, RefusesEventsWithoutEnd) {
  EventReader reader;
  const std::string piece(1 << 20, 'x');
  bool read = true;
  for (int i = 0; i < 20 && read; ++i) read = reader.Feed(piece, [](std::string_view, std::string_view) {});
  EXPECT_FALSE(read);
}

TEST(EventReader, AnyBytesAreRead) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(kStream);
    for (int i = 0; i < 8; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    EXPECT_EQ(Read(bytes, 1 + random() % 7), Read(bytes, bytes.size()));
  }
}

}  // namespace
}  // namespace braid
