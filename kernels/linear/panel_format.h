// How a block of 32 inputs of a panel's 16 rows lies in memory: up to four planes of code bits, then the scales.
// A plane is made of units of [16 rows][4 bytes]; step s of a block has inputs 4s..4s+3, one a byte:
//   bytes:   8 units; step s is unit s
//   nibbles: 4 units; steps s and s + 4 are the low and high halves of unit s
//   pairs:   2 units; step s is bits 2 (s % 4) and the next of unit s / 4
//   bits:    1 unit;  step s is bit s
// A code is the nibble, with the pair or the bit above it; or the pair with the bit above it; or the byte.
// Scales stand behind the codes, so that one row's product reads one stream:
//   Q8_0, Q4_0, Q5_0, IQ4_NL: f16 [16]
//   Q4_1, Q5_1:               f16 [16], minima f16 [16]
//   INT4, INT8:               f16 [16], zeros u8 [16]
//   Q4_K, Q5_K:               factors u8 [16], of minima u8 [16]       before each 8 blocks: d f16 [16], -dmin f16 [16]
//   Q2_K:                     [2 halves][16]: as Q2_K packs them       before each 8 blocks: the same
//   Q3_K, Q6_K:               factors i8 [2 halves][16]                before each 8 blocks: d f16 [16]
//   NVFP4:                    E4M3 [2 halves][16]
//   MXFP4:                    E8M0 [16]
#pragma once

#include "kernels/quantize/unpacked_block.h"
#include "kernels/tensor.h"

namespace braid {

inline constexpr int kPanelRows = 16;
inline constexpr int kBlockCols = 32;
inline constexpr int kUnitBytes = 4 * kPanelRows;
inline constexpr int kHeadBlocks = 8;  // blocks behind one head

// Bytes of each plane of a block, of its scales, and of the head before kHeadBlocks blocks (0: none).
struct PanelFormat {
  int bytes = 0, nibbles = 0, pairs = 0, bits = 0, scales = 0, head = 0;
  constexpr int code_bytes() const { return bytes + nibbles + pairs + bits; }
  constexpr int block_bytes() const { return code_bytes() + scales; }
};

constexpr PanelFormat PanelFormatOf(DType dtype) {
  constexpr int kByte = 8 * kUnitBytes, kNibble = 4 * kUnitBytes, kPair = 2 * kUnitBytes, kBit = kUnitBytes;
  switch (dtype) {
    case DType::kQ8_0: return {.bytes = kByte, .scales = 32};
    case DType::kQ4_1: return {.nibbles = kNibble, .scales = 64};
    case DType::kQ5_0: return {.nibbles = kNibble, .bits = kBit, .scales = 32};
    case DType::kQ5_1: return {.nibbles = kNibble, .bits = kBit, .scales = 64};
    case DType::kInt4: return {.nibbles = kNibble, .scales = 48};
    case DType::kInt8: return {.bytes = kByte, .scales = 48};
    case DType::kQ2_K: return {.pairs = kPair, .scales = 32, .head = 64};
    case DType::kQ3_K: return {.pairs = kPair, .bits = kBit, .scales = 32, .head = 32};
    case DType::kQ4_K: return {.nibbles = kNibble, .scales = 32, .head = 64};
    case DType::kQ5_K: return {.nibbles = kNibble, .bits = kBit, .scales = 32, .head = 64};
    case DType::kQ6_K: return {.nibbles = kNibble, .pairs = kPair, .scales = 32, .head = 32};
    case DType::kNVFP4: return {.nibbles = kNibble, .scales = 32};
    case DType::kMXFP4: return {.nibbles = kNibble, .scales = 16};
    default: return {.nibbles = kNibble, .scales = 32};  // Q4_0, IQ4_NL
  }
}

// Blocks of a row; the last may be filled up with zeros.
constexpr int64_t BlocksOf(int64_t cols) { return (cols + kBlockCols - 1) / kBlockCols; }

// Puts `lane`'s 32 codes into the planes at `planes`, zero before.
void SetPanelCodes(const PanelFormat& format, const uint8_t* codes, int lane, uint8_t* planes);
void GetPanelCodes(const PanelFormat& format, const uint8_t* planes, int lane, uint8_t* codes);

// Puts block `index` of `block`'s scales, lane by lane, to `scales`; and its head.
void SetPanelScales(DType dtype, const UnpackedBlock& block, int index, int lane, uint8_t* scales);
void SetPanelHead(DType dtype, const UnpackedBlock& block, int lane, uint8_t* head);
// Fills a block of 32 whose first factors are those of the panel's block; NVFP4 has its E4M3 scales there.
void GetPanelScales(DType dtype, const uint8_t* head, const uint8_t* scales, int lane, UnpackedBlock* block);

}  // namespace braid
