#include "models/weights/integer_blocks.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/errors.h"

namespace braid {
namespace {

constexpr int kBlock = 32;   // columns
constexpr int kTile = 64;    // rows that are taken apart at a time
using Tile = uint8_t[kBlock][kTile];

// A tile's place: rows [first, first + count), and the inputs of its columns.
struct TilePlace {
  int64_t first;
  int count;
  int64_t inputs[kBlock];
};

uint32_t Word(const std::byte* words, int64_t index) {
  uint32_t word;
  std::memcpy(&word, words + 4 * index, 4);
  return word;
}

void TakeWordsOfInputs(const IntegerCodes& from, const TilePlace& place, Tile& to) {
  const int per_word = 32 / from.bits;
  const uint32_t mask = (1u << from.bits) - 1u;
  for (int i = 0; i < kBlock; ++i) {
    const std::byte* const words = from.bytes.data() + 4 * (place.inputs[i] / per_word * from.rows + place.first);
    const int shift = static_cast<int>(place.inputs[i] % per_word) * from.bits;
    for (int n = 0; n < place.count; ++n) to[i][n] = static_cast<uint8_t>(Word(words, n) >> shift & mask);
  }
}

void TakeWordsOfOutputs(const IntegerCodes& from, const TilePlace& place, Tile& to) {
  for (int i = 0; i < kBlock; ++i) {
    const std::byte* const words = from.bytes.data() + 4 * (place.inputs[i] * (from.rows / 8) + place.first / 8);
    for (int n = 0; n < place.count; ++n) {
      to[i][n] = static_cast<uint8_t>(Word(words, n / 8) >> 4 * kOutputPlace[n % 8] & 15u);
    }
  }
}

void TakeWordsOfARow(const IntegerCodes& from, const TilePlace& place, Tile& to) {
  const int per_word = 32 / from.bits;
  const uint32_t mask = (1u << from.bits) - 1u;
  for (int n = 0; n < place.count; ++n) {
    const std::byte* const row = from.bytes.data() + 4 * (place.first + n) * (from.cols / per_word);
    for (int i = 0; i < kBlock; ++i) {
      const int shift = static_cast<int>(place.inputs[i] % per_word) * from.bits;
      to[i][n] = static_cast<uint8_t>(Word(row, place.inputs[i] / per_word) >> shift & mask);
    }
  }
}

void Take(const IntegerCodes& from, const TilePlace& place, Tile& to) {
  switch (from.words) {
    case IntegerCodes::kOfInputs: return TakeWordsOfInputs(from, place, to);
    case IntegerCodes::kOfOutputs: return TakeWordsOfOutputs(from, place, to);
    case IntegerCodes::kOfARow: return TakeWordsOfARow(from, place, to);
  }
}

// Column n of the tile as a block's codes.
void PutCodes(DType format, const Tile& tile, int n, uint8_t* to) {
  const bool bytes = format == DType::kQ8_0 || format == DType::kInt8;
  const int middle = format == DType::kQ8_0 ? 128 : 0;  // Q8_0's codes have a sign
  for (int j = 0; j < (bytes ? 32 : 16); ++j) {
    to[j] = static_cast<uint8_t>(bytes ? tile[j][n] ^ middle : tile[j][n] | tile[j + 16][n] << 4);
  }
}

}  // namespace

std::vector<std::byte> LayOut(const IntegerCodes& codes, const IntegerGroups& groups, DType format) {
  CHECK_EQ(codes.cols % kBlock, 0);
  const int64_t blocks = codes.cols / kBlock, size = BlockOf(format).bytes;
  const bool own_zero = format == DType::kInt4 || format == DType::kInt8;
  std::vector<std::byte> out(static_cast<size_t>(codes.rows * blocks * size));
  for (int64_t first = 0; first < codes.rows; first += kTile) {
    TilePlace place{first, static_cast<int>(std::min<int64_t>(kTile, codes.rows - first)), {}};
    for (int64_t b = 0; b < blocks; ++b) {
      for (int i = 0; i < kBlock; ++i) {
        place.inputs[i] = groups.order.empty() ? b * kBlock + i : groups.order[static_cast<size_t>(b * kBlock + i)];
      }
      Tile tile;
      Take(codes, place, tile);
      for (int n = 0; n < place.count; ++n) {
        const size_t index = static_cast<size_t>(groups.of_block[static_cast<size_t>(b)] * codes.rows + first + n);
        uint8_t* const to = reinterpret_cast<uint8_t*>(out.data()) + ((first + n) * blocks + b) * size;
        std::memcpy(to, &groups.scales[index], 2);
        if (own_zero) to[2] = groups.zeros[index];
        PutCodes(format, tile, n, to + (own_zero ? 3 : 2));
      }
    }
  }
  return out;
}

}  // namespace braid
