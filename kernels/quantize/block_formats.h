// Blocks of GGUF's quantized types, as they lie in a file, and two of our own: 32 or 256 elements of one row, codes and
// scales together.
// https://github.com/ggml-org/ggml (ggml-common.h). All scales named f16 are bits of an f16.
//
// Nibbles of the 32-blocks: element j in the low half of byte j, element j + 16 in its high half.
#pragma once

#include <cstdint>

namespace braid {

struct BlockQ8_0 {
  uint16_t scale;  // f16; w = scale * code
  int8_t codes[32];
};
struct BlockQ4_0 {
  uint16_t scale;     // f16; w = scale * (code - 8)
  uint8_t codes[16];
};
struct BlockQ4_1 {
  uint16_t scale, min;  // f16; w = scale * code + min
  uint8_t codes[16];
};
struct BlockQ5_0 {
  uint16_t scale;    // f16; w = scale * (code - 16)
  uint8_t fifth[4];  // bit j % 8 of byte j / 8 is the fifth bit of element j
  uint8_t codes[16];
};
struct BlockQ5_1 {
  uint16_t scale, min;  // f16; w = scale * code + min
  uint8_t fifth[4];
  uint8_t codes[16];
};
struct BlockIQ4_NL {
  uint16_t scale;  // f16; w = scale * kIq4Values[code]
  uint8_t codes[16];
};
struct BlockMXFP4 {
  uint8_t scale;  // E8M0; w = scale * E2M1(code)
  uint8_t codes[16];
};
// What integers in groups of GPTQ, AWQ and compressed-tensors checkpoints become where a group's zero is not the middle
// of the codes; those that have it there are Q4_0 and Q8_0. Both are as exact as the checkpoint.
struct BlockInt4 {
  uint8_t scale[2];   // f16; w = scale * (code - zero)
  uint8_t zero;
  uint8_t codes[16];
};
struct BlockInt8 {
  uint8_t scale[2];   // f16; w = scale * (code - zero)
  uint8_t zero;
  uint8_t codes[32];
};
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20);
static_assert(sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24 && sizeof(BlockIQ4_NL) == 18);
static_assert(sizeof(BlockMXFP4) == 17 && sizeof(BlockInt4) == 19 && sizeof(BlockInt8) == 35);

inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Of 256 elements. Two bits of element 128 h + 32 j + l are bits 2j, 2j + 1 of byte 32 h + l.
struct BlockQ2_K {
  uint8_t scales[16];  // of 16 elements each: scale in the low half, minimum in the high
  uint8_t codes[64];   // w = d * scale * code - dmin * minimum
  uint16_t d, dmin;    // f16
};
struct BlockQ3_K {
  uint8_t third[32];   // bit i of byte l is the third bit of element 32 i + l
  uint8_t codes[64];
  uint8_t scales[12];  // sixteen of 6 bits: low four in halves of the first 8 bytes, high two in the last 4
  uint16_t d;          // f16; w = d * (scale - 32) * (code - 4)
};
// Scales and minima of the eight 32s: 6 bits each, four whole bytes of either, then what remains.
struct BlockQ4_K {
  uint16_t d, dmin;    // f16; w = d * scale * code - dmin * minimum
  uint8_t scales[12];
  uint8_t codes[128];  // element 64 g + l in the low half of byte 32 g + l, element 64 g + 32 + l in its high half
};
struct BlockQ5_K {
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t fifth[32];   // bit i of byte l is the fifth bit of element 32 i + l
  uint8_t codes[128];
};
// Element 128 h + 32 j + l: four bits in half j / 2 of byte 64 h + 32 (j % 2) + l, two in bits 2j, 2j + 1 of byte
// 32 h + l.
struct BlockQ6_K {
  uint8_t low[128];
  uint8_t high[64];
  int8_t scales[16];  // of 16 elements each
  uint16_t d;         // f16; w = d * scale * (code - 32)
};
static_assert(sizeof(BlockQ2_K) == 84 && sizeof(BlockQ3_K) == 110 && sizeof(BlockQ4_K) == 144);
static_assert(sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

}  // namespace braid
