// Block formats against vectors of GGUF's own dequantizer (tests/data/weights), small floats against their definition.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/base/errors.h"
#include "kernels/float_types.h"
#include "kernels/quantize/unpacked_block.h"

namespace braid {
namespace {

constexpr DType kBlockTypes[] = {DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0, DType::kQ5_1,
                                 DType::kQ8_0, DType::kIQ4_NL, DType::kQ2_K, DType::kQ3_K,
                                 DType::kQ4_K, DType::kQ5_K,   DType::kQ6_K, DType::kMXFP4Blocks};

std::string ReadVectors(DType dtype) {
  const std::string path = absl::StrCat(BRAID_SOURCE_DIR "/tests/data/weights/", DTypeName(dtype), ".bin");
  std::ifstream file(path, std::ios::binary);
  CHECK(file.good()) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

class BlockVectors : public ::testing::TestWithParam<DType> {};

TEST_P(BlockVectors, DequantizeToTheLastBit) {
  const DType dtype = GetParam();
  const DTypeBlock layout = BlockOf(dtype);
  const std::string bytes = ReadVectors(dtype);
  uint32_t count = 0;
  std::memcpy(&count, bytes.data(), 4);
  ASSERT_EQ(bytes.size(), 4 + static_cast<size_t>(count) * (layout.bytes + 4 * layout.elements));
  const std::byte* block = reinterpret_cast<const std::byte*>(bytes.data()) + 4;
  std::vector<float> wanted(static_cast<size_t>(count) * layout.elements), got(wanted.size());
  std::memcpy(wanted.data(), block + static_cast<size_t>(count) * layout.bytes, 4 * wanted.size());
  for (uint32_t b = 0; b < count; ++b, block += layout.bytes) {
    UnpackedBlock unpacked;
    Unpack(dtype, block, &unpacked);
    Dequantize(dtype, unpacked, layout.elements, got.data() + static_cast<size_t>(b) * layout.elements);
    EXPECT_TRUE(HasFiniteScales(dtype, block));
  }
  for (size_t i = 0; i < wanted.size(); ++i) ASSERT_EQ(got[i], wanted[i]) << DTypeName(dtype) << " weight " << i;
}

INSTANTIATE_TEST_SUITE_P(Types, BlockVectors, ::testing::ValuesIn(kBlockTypes),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

// 32 weights of a block whose code j is 7 j, cut to the format's bits.
std::vector<float> WeightsOf(DType dtype, uint8_t zero, uint16_t scale) {
  std::byte bytes[35] = {static_cast<std::byte>(scale & 255), static_cast<std::byte>(scale >> 8),
                         static_cast<std::byte>(zero)};
  for (int j = 0; j < 32; ++j) {
    if (dtype == DType::kInt8) {
      bytes[3 + j] = static_cast<std::byte>(7 * j);
    } else {
      bytes[3 + j % 16] |= static_cast<std::byte>((7 * j & 15) << (j / 16 * 4));
    }
  }
  UnpackedBlock block;
  Unpack(dtype, bytes, &block);
  std::vector<float> weights(32);
  Dequantize(dtype, block, 32, weights.data());
  return weights;
}

TEST(Integers, AreTheirDistanceFromZeroInScales) {
  const uint16_t third = 0x3555;  // f16's 0.333251953125
  for (int zero : {0, 1, 8, 15, 128, 255}) {
    const std::vector<float> four = WeightsOf(DType::kInt4, static_cast<uint8_t>(zero), third);
    const std::vector<float> eight = WeightsOf(DType::kInt8, static_cast<uint8_t>(zero), third);
    for (int j = 0; j < 32; ++j) {
      EXPECT_EQ(four[j], static_cast<float>((7 * j & 15) - zero) * 0.333251953125f) << zero << " " << j;
      EXPECT_EQ(eight[j], static_cast<float>(7 * j - zero) * 0.333251953125f) << zero << " " << j;
    }
  }
}

TEST(SmallFloats, FollowTheirDefinition) {
  for (int bits = 0; bits < 256; ++bits) {
    const int exponent = bits >> 3 & 15, mantissa = bits & 7;
    const double magnitude = exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
    const float e4m3 = ToFloat(E4m3{static_cast<uint8_t>(bits)}), e8m0 = ToFloat(E8m0{static_cast<uint8_t>(bits)});
    if ((bits & 127) == 127) {
      EXPECT_TRUE(std::isnan(e4m3));
    } else {
      EXPECT_EQ(e4m3, bits < 128 ? magnitude : -magnitude) << bits;
    }
    if (bits == 255) {
      EXPECT_TRUE(std::isnan(e8m0));
    } else {
      EXPECT_EQ(e8m0, std::ldexp(1.0f, bits - 127)) << bits;
    }
  }
  const float e2m1[] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  for (int bits = 0; bits < 16; ++bits) {
    EXPECT_EQ(ToFloat(E2m1{static_cast<uint8_t>(bits)}), bits < 8 ? e2m1[bits] : -e2m1[bits - 8]);
  }
}

}  // namespace
}  // namespace braid
