#include "models/weights/matrix_rows.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

std::vector<std::byte> Bytes(int count) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::byte>(i));
  return bytes;
}

TEST(Cut, CodesAndScalesOfRowsMoveTogether) {
  const std::vector<std::byte> codes = Bytes(3 * 16), scales = Bytes(3);
  const WeightPart part = {DType::kMXFP4, 3, 32, codes, {DType::kF8E8M0, 1, 32, scales}};
  const auto taken = Cut(part, Axis(3, {{2, 3}, {0, 1}}), Whole(32));
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->part.rows, 2);
  EXPECT_EQ(taken->part.bytes.size(), 32u);
  EXPECT_EQ(taken->part.bytes[0], std::byte{32});
  EXPECT_EQ(taken->part.bytes[16], std::byte{0});
  EXPECT_EQ(taken->part.scales.bytes[0], std::byte{2});
}

TEST(Cut, AllOfAMatrixAndRowsInOneRunAreNotCopied) {
  const std::vector<std::byte> codes = Bytes(4 * 8);
  const WeightPart part = {DType::kF32, 4, 2, codes};
  const auto all = Cut(part, Whole(4), Whole(2)), some = Cut(part, Axis::Part(4, 1, 3), Whole(2));
  ASSERT_TRUE(all.ok() && some.ok());
  EXPECT_EQ(all->part.bytes.data(), codes.data());
  EXPECT_EQ(some->part.bytes.data(), codes.data() + 8);
  EXPECT_EQ(some->part.bytes.size(), 16u);
}

TEST(Cut, ColumnsTakeTheirBytesOfEveryRow) {
  const std::vector<std::byte> codes = Bytes(3 * 8);
  const auto cut = Cut({DType::kBF16, 3, 4, codes}, Axis::Part(3, 1, 3), Axis::Part(4, 1, 3));
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->part.cols, 2);
  EXPECT_EQ(cut->codes, (std::vector<std::byte>{std::byte{10}, std::byte{11}, std::byte{12}, std::byte{13}, std::byte{18},
                                                std::byte{19}, std::byte{20}, std::byte{21}}));
}

TEST(Cut, RowsThatSharedAScaleHaveOneEach) {
  const std::vector<std::byte> codes = Bytes(4 * 64), scales = Bytes(2 * 2 * 4);  // blocks of [2, 32]
  const WeightPart part = {DType::kF8E4M3, 4, 64, codes, {DType::kF32, 2, 32, scales}};
  const auto cut = Cut(part, Axis(4, {{3, 4}, {1, 2}}), Axis::Part(64, 32, 64));
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->part.scales.block_rows, 1);
  EXPECT_EQ(cut->part.scales.block_cols, 32);
  EXPECT_EQ(cut->scales.size(), 8u);
  EXPECT_EQ(cut->scales[0], std::byte{12});  // of block (1, 1)
  EXPECT_EQ(cut->scales[4], std::byte{4});   // of block (0, 1)
  EXPECT_EQ(cut->codes[0], static_cast<std::byte>(3 * 64 + 32));
}

TEST(Cut, AScaleOfWholeRowsGoesWithEveryPartOfThem) {
  const std::vector<std::byte> codes = Bytes(2 * 64), scales = Bytes(2 * 4);
  const auto cut = Cut({DType::kF8E4M3, 2, 64, codes, {DType::kF32, 1, 64, scales}}, Whole(2), Axis::Part(64, 7, 20));
  ASSERT_TRUE(cut.ok()) << cut.status();
  EXPECT_EQ(cut->part.scales.block_cols, 13);
  EXPECT_EQ(cut->scales, scales);
}

TEST(Cut, RefusesABorderWithinABlock) {
  const std::vector<std::byte> q8 = Bytes(2 * 34), fp8 = Bytes(64), scales = Bytes(2 * 4);
  EXPECT_TRUE(absl::IsInvalidArgument(Cut({DType::kQ8_0, 1, 64, q8}, Whole(1), Axis::Part(64, 0, 48)).status()));
  EXPECT_TRUE(Cut({DType::kQ8_0, 1, 64, q8}, Whole(1), Axis::Part(64, 32, 64)).ok());
  const WeightPart part = {DType::kF8E4M3, 1, 64, fp8, {DType::kF32, 1, 32, scales}};
  EXPECT_TRUE(absl::IsInvalidArgument(Cut(part, Whole(1), Axis::Part(64, 16, 64)).status()));
}

TEST(Axis, JoinedPartsKeepTheirPlaces) {
  const Axis axis = Joined({Axis::Part(4, 2, 4), Whole(2), Axis::Part(3, 0, 1)});
  EXPECT_EQ(axis.stored(), 9);
  EXPECT_EQ(axis.kept(), 5);
  ASSERT_EQ(axis.runs().size(), 1u) << "what lies side by side is one run";
  EXPECT_EQ(axis.runs()[0].begin, 2);
  EXPECT_EQ(Axis::Part(3, 1, 3).Spread(2, 1).runs()[1].begin, 5);
  EXPECT_EQ(Axis::Part(3, 1, 3).Within(10, 4).runs()[0].end, 7);
}

TEST(Axis, BordersAreEvenUpToTheGrain) {
  EXPECT_EQ(Borders(160, 1, 4), (std::vector<int64_t>{0, 40, 80, 120, 160}));
  EXPECT_EQ(Borders(160, 32, 2), (std::vector<int64_t>{0, 64, 160}));
  EXPECT_EQ(Borders(100, 32, 3), (std::vector<int64_t>{0, 32, 64, 100}));
  EXPECT_EQ(Borders(7, 1, 1), (std::vector<int64_t>{0, 7}));
}

TEST(MatrixRows, TransposedTurnsPlainFloatsOnly) {
  const std::vector<std::byte> codes = Bytes(12);
  const auto turned = Transposed({DType::kBF16, 2, 3, codes});
  ASSERT_TRUE(turned.ok()) << turned.status();
  EXPECT_EQ(turned->part.rows, 3);
  EXPECT_EQ(turned->part.bytes[2], std::byte{6});  // element [0, 1] was [1, 0]
  EXPECT_TRUE(absl::IsUnimplemented(Transposed({DType::kF8E4M3, 3, 4, codes}).status()));
}

}  // namespace
}  // namespace braid
