#include "models/chat/output/marker_scanner.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

TEST(MarkerScanner, HoldsBackWhatMayBecomeAMarker) {
  const MarkerSet markers({"<tool>", "</tool>"});
  MarkerScanner scanner;
  scanner.Append("a < b <to");
  MarkerScanner::Found found = scanner.Take(markers);
  EXPECT_EQ(found.before, "a < b ");
  EXPECT_EQ(found.marker, -1);
  scanner.Append("ol>c</t");
  found = scanner.Take(markers);
  EXPECT_EQ(found.before, "");
  EXPECT_EQ(found.marker, 0);
  EXPECT_EQ(scanner.Take(markers).before, "c");
  scanner.Append("op");
  EXPECT_EQ(scanner.Take(markers).before, "</top");
}

TEST(MarkerScanner, TheFirstMarkerInTheTextCounts) {
  const MarkerSet markers({"[B]", "<A>"});
  MarkerScanner scanner;
  scanner.Append("x<A>[B]");
  EXPECT_EQ(scanner.Take(markers).marker, 1);
  EXPECT_EQ(scanner.Take(markers).marker, 0);
  EXPECT_EQ(scanner.Take(markers).marker, -1);
}

TEST(MarkerScanner, GivesTheTailWhenNoMoreComes) {
  const MarkerSet markers({"<tool>"});
  MarkerScanner scanner;
  scanner.Append("<tool");
  EXPECT_EQ(scanner.Take(markers).before, "");
  scanner.Close();
  EXPECT_EQ(scanner.Take(markers).before, "<tool");
}

TEST(MarkerScanner, AMarkerMayBeginInsideABrokenOne) {
  const MarkerSet markers({"<<a>"});
  MarkerScanner scanner;
  scanner.Append("<");
  EXPECT_EQ(scanner.Take(markers).before, "");
  scanner.Append("<<");
  EXPECT_EQ(scanner.Take(markers).before, "<");
  scanner.Append("a>");
  EXPECT_EQ(scanner.Take(markers).marker, 0);
}

}  // namespace
}  // namespace braid
