#include "models/weights/matrix_rows.h"

#include <gtest/gtest.h>

namespace braid {
namespace {

std::vector<std::byte> Bytes(int count) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::byte>(i));
  return bytes;
}

TEST(MatrixRows, CodesAndScalesMoveTogether) {
  const std::vector<std::byte> codes = Bytes(3 * 16), scales = Bytes(3);
  const WeightPart part = {DType::kMXFP4, 3, 32, codes, {DType::kF8E8M0, 1, 32, scales}};
  const std::vector<int64_t> rows = {2, 0};
  const auto taken = TakeRows(part, rows);
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->part.rows, 2);
  EXPECT_EQ(taken->part.bytes.size(), 32u);
  EXPECT_EQ(taken->part.bytes[0], std::byte{32});
  EXPECT_EQ(taken->part.bytes[16], std::byte{0});
  EXPECT_EQ(taken->part.scales.bytes[0], std::byte{2});
}

TEST(MatrixRows, RefuseRowsThatShareAScale) {
  const std::vector<std::byte> codes = Bytes(64), scales = Bytes(4);
  const WeightPart part = {DType::kF8E4M3, 2, 32, codes, {DType::kF32, 2, 32, scales}};
  EXPECT_TRUE(absl::IsUnimplemented(TakeRows(part, std::vector<int64_t>{1}).status()));
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
