#include "kernels/linear/panel_format.h"

#include <cstring>

namespace braid {
namespace {

uint32_t Load4(const uint8_t* from) {
  uint32_t four;
  std::memcpy(&four, from, 4);
  return four;
}
void Or4(uint8_t* to, uint32_t four) {
  four |= Load4(to);
  std::memcpy(to, &four, 4);
}
uint16_t Load2(const uint8_t* from) {
  uint16_t two;
  std::memcpy(&two, from, 2);
  return two;
}
void Store2(uint8_t* to, uint16_t two) { std::memcpy(to, &two, 2); }

// The lowest `bits` bits of each of four bytes.
constexpr uint32_t Mask4(int bits) { return ((1u << bits) - 1u) * 0x01010101u; }

// Above which bits of a code its pair and its single bit stand.
int PairShift(const PanelFormat& format) { return format.nibbles > 0 ? 4 : 0; }
int BitShift(const PanelFormat& format) { return format.nibbles > 0 ? 4 : 2; }

// Where the parts of step `s` of a lane lie.
struct Place {
  int unit, shift;
};
Place NibbleOf(int s) { return {s % 4, s / 4 * 4}; }
Place PairOf(int s) { return {s / 4, s % 4 * 2}; }

}  // namespace

void SetPanelCodes(const PanelFormat& format, const uint8_t* codes, int lane, uint8_t* planes) {
  uint8_t* const nibbles = planes + format.bytes + 4 * lane;
  uint8_t* const pairs = nibbles + format.nibbles;
  uint8_t* const bits = pairs + format.pairs;
  for (int s = 0; s < 8; ++s) {
    const uint32_t four = Load4(codes + 4 * s);
    if (format.bytes > 0) Or4(planes + s * kUnitBytes + 4 * lane, four);
    if (format.nibbles > 0) Or4(nibbles + NibbleOf(s).unit * kUnitBytes, (four & Mask4(4)) << NibbleOf(s).shift);
    if (format.pairs > 0) {
      Or4(pairs + PairOf(s).unit * kUnitBytes, (four >> PairShift(format) & Mask4(2)) << PairOf(s).shift);
    }
    if (format.bits > 0) Or4(bits, (four >> BitShift(format) & Mask4(1)) << s);
  }
}

void GetPanelCodes(const PanelFormat& format, const uint8_t* planes, int lane, uint8_t* codes) {
  const uint8_t* const nibbles = planes + format.bytes + 4 * lane;
  const uint8_t* const pairs = nibbles + format.nibbles;
  const uint8_t* const bits = pairs + format.pairs;
  for (int s = 0; s < 8; ++s) {
    uint32_t four = format.bytes > 0 ? Load4(planes + s * kUnitBytes + 4 * lane) : 0;
    if (format.nibbles > 0) four |= Load4(nibbles + NibbleOf(s).unit * kUnitBytes) >> NibbleOf(s).shift & Mask4(4);
    if (format.pairs > 0) {
      four |= (Load4(pairs + PairOf(s).unit * kUnitBytes) >> PairOf(s).shift & Mask4(2)) << PairShift(format);
    }
    if (format.bits > 0) four |= (Load4(bits) >> s & Mask4(1)) << BitShift(format);
    std::memcpy(codes + 4 * s, &four, 4);
  }
}

void SetPanelScales(DType dtype, const UnpackedBlock& block, int index, int lane, uint8_t* scales) {
  switch (dtype) {
    case DType::kMXFP4: scales[lane] = static_cast<uint8_t>(block.scale); return;
    case DType::kQ4_K:
    case DType::kQ5_K:
      scales[lane] = static_cast<uint8_t>(block.scales[index]);
      scales[kPanelRows + lane] = block.mins[index];
      return;
    case DType::kQ2_K:
    case DType::kQ3_K:
    case DType::kQ6_K:
    case DType::kNVFP4:
      for (int h = 0; h < 2; ++h) {
        const uint8_t min = dtype == DType::kQ2_K ? static_cast<uint8_t>(block.mins[2 * index + h] << 4) : 0;
        scales[h * kPanelRows + lane] = static_cast<uint8_t>(block.scales[2 * index + h] | min);
      }
      return;
    default:
      Store2(scales + 2 * lane, block.scale);
      if (FactsOf(dtype).min != BlockFacts::kNone) Store2(scales + 2 * (kPanelRows + lane), block.min);
      if (FactsOf(dtype).own_zero) scales[2 * kPanelRows + lane] = block.zero;
  }
}

void SetPanelHead(DType dtype, const UnpackedBlock& block, int lane, uint8_t* head) {
  Store2(head + 2 * lane, block.scale);
  if (FactsOf(dtype).min != BlockFacts::kNone) Store2(head + 2 * (kPanelRows + lane), block.min ^ 0x8000u);
}

void GetPanelScales(DType dtype, const uint8_t* head, const uint8_t* scales, int lane, UnpackedBlock* block) {
  const PanelFormat format = PanelFormatOf(dtype);
  if (format.head > 0) block->scale = Load2(head + 2 * lane);
  if (format.head == 64) block->min = Load2(head + 2 * (kPanelRows + lane)) ^ 0x8000u;
  const uint8_t first = scales[lane], second = format.scales > kPanelRows ? scales[kPanelRows + lane] : 0;
  switch (dtype) {
    case DType::kMXFP4: block->scale = first; return;
    case DType::kQ4_K:
    case DType::kQ5_K:
      block->scales[0] = static_cast<int8_t>(first);
      block->mins[0] = second;
      return;
    case DType::kQ2_K:
      block->scales[0] = static_cast<int8_t>(first & 15);
      block->scales[1] = static_cast<int8_t>(second & 15);
      block->mins[0] = first >> 4;
      block->mins[1] = second >> 4;
      return;
    case DType::kQ3_K:
    case DType::kQ6_K:
    case DType::kNVFP4:
      block->scales[0] = static_cast<int8_t>(first);
      block->scales[1] = static_cast<int8_t>(second);
      return;
    default:
      block->scale = Load2(scales + 2 * lane);
      if (format.scales == 48) block->zero = scales[2 * kPanelRows + lane];
      if (format.scales == 64) block->min = Load2(scales + 2 * (kPanelRows + lane));
  }
}

}  // namespace braid
