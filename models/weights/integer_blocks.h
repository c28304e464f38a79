// Matrices of 4- and 8-bit integers, from the words of 32 bits of a checkpoint to blocks that kernels know.
// The first code of a word has its lowest bits. w = scale * (code - zero)
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace braid {

// Codes [rows, cols] as a file holds them.
struct IntegerCodes {
  enum Words {
    kOfInputs,   // [cols * bits / 32, rows]: neighbouring inputs
    kOfOutputs,  // [cols, rows / 8]: outputs 0, 2, 4, 6, 1, 3, 5, 7 of eight; 4 bits
    kOfARow,     // [rows, cols * bits / 32]: neighbouring inputs
  } words;
  int bits;       // 4 or 8
  int64_t rows, cols;
  std::span<const std::byte> bytes;  // at any address
};

// Where the codes of eight neighbouring outputs stand in a word of kOfOutputs.
inline constexpr int kOutputPlace[8] = {0, 4, 1, 5, 2, 6, 3, 7};

// What inputs share.
struct IntegerGroups {
  std::vector<uint16_t> scales;   // f16 [groups][rows]
  std::vector<uint8_t> zeros;     // [groups][rows]
  std::vector<int32_t> of_block;  // [cols / 32]: the group of 32 columns
  std::vector<int32_t> order;     // [cols]: the input of each column; empty: itself
};

// Lays the columns out in their order as `format`, whose bits are the codes': INT4 or INT8; Q4_0 or Q8_0 leaves the
// zeros out, which then must be the middle of the codes.
std::vector<std::byte> LayOut(const IntegerCodes& codes, const IntegerGroups& groups, DType format);

}  // namespace braid
