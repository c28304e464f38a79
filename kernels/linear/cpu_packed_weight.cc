#include "kernels/linear/cpu_packed_weight.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/errors.h"
#include "kernels/linear/weight_source.h"

namespace braid {
namespace {

int64_t NumPanels(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

int64_t PanelBytes(DType dtype, int64_t cols) {
  if (!IsBlockFormat(dtype)) return (DTypeBytes(dtype, cols) * kPanelRows + 63) / 64 * 64;
  return (cols / kBlockCols * PanelBlockOf(dtype).bytes + 63) / 64 * 64;
}

// The `lanes` rows of `part` from `first` on, element by element.
template <class T>
void FillFloats(const WeightPart& part, int64_t first, int lanes, std::byte* panel) {
  T* const out = reinterpret_cast<T*>(panel);
  for (int lane = 0; lane < lanes; ++lane) {
    const std::byte* const row = part.bytes.data() + (first + lane) * part.cols * sizeof(T);
    for (int64_t k = 0; k < part.cols; ++k) std::memcpy(&out[k * kPanelRows + lane], row + k * sizeof(T), sizeof(T));
  }
}

// Spreads one row's codes over the block's groups of [16 rows][4 bytes].
void SpreadCodes(const BlockQ8_0& block, int lane, std::byte* codes) {
  for (int j = 0; j < kBlockCols; ++j) {
    codes[j / 4 * 64 + lane * 4 + j % 4] = static_cast<std::byte>(block.codes[j] + 128);
  }
}
template <class Block>
void SpreadCodes(const Block& block, int lane, std::byte* codes) {
  for (int g = 0; g < 4; ++g) std::memcpy(codes + g * 64 + lane * 4, block.codes + 4 * g, 4);
}

template <class Block>
void SetScales(const Block& block, int lane, uint16_t* scales) {
  scales[lane] = block.scale;
  if constexpr (std::is_same_v<Block, BlockQ4_1>) scales[kPanelRows + lane] = block.min;
}

template <class Block>
void FillBlocks(const WeightPart& part, int64_t first, int lanes, std::byte* panel) {
  const PanelBlock layout = PanelBlockOf(part.dtype);
  const int64_t blocks = part.cols / kBlockCols;
  for (int64_t b = 0; b < blocks; ++b, panel += layout.bytes) {
    for (int lane = 0; lane < lanes; ++lane) {
      Block block;
      std::memcpy(&block, part.bytes.data() + ((first + lane) * blocks + b) * sizeof(Block), sizeof(Block));
      SpreadCodes(block, lane, panel);
      SetScales(block, lane, reinterpret_cast<uint16_t*>(panel + layout.code_bytes));
    }
  }
}

void FillPanel(const WeightPart& part, int64_t first, std::byte* panel) {
  const int lanes = static_cast<int>(std::min<int64_t>(kPanelRows, part.rows - first));
  switch (part.dtype) {
    case DType::kF32: return FillFloats<uint32_t>(part, first, lanes, panel);
    case DType::kF16:
    case DType::kBF16: return FillFloats<uint16_t>(part, first, lanes, panel);
    case DType::kQ8_0: return FillBlocks<BlockQ8_0>(part, first, lanes, panel);
    case DType::kQ4_0: return FillBlocks<BlockQ4_0>(part, first, lanes, panel);
    case DType::kQ4_1: return FillBlocks<BlockQ4_1>(part, first, lanes, panel);
    default: CHECK(false) << DTypeName(part.dtype);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackedWeight>> CpuPackedWeight::Pack(const WeightSource& source) {
  RETURN_IF_ERROR(CheckSource(source));
  return std::unique_ptr<PackedWeight>(new CpuPackedWeight(source));
}

CpuPackedWeight::CpuPackedWeight(const WeightSource& source)
    : PackedWeight(TotalRows(source), source.parts[0].cols), pair_(source.gate_up_pair) {
  int64_t size = 0, pair_bytes = 0, first_row = 0;
  for (const WeightPart& part : source.parts) {
    size += NumPanels(part.rows) * PanelBytes(part.dtype, part.cols);
    pair_bytes += PanelBytes(part.dtype, part.cols);
  }
  bytes_ = Bytes(static_cast<size_t>(size));
  std::byte* next = bytes_.data();
  for (const WeightPart& part : source.parts) {
    const int64_t panels = NumPanels(part.rows), panel_bytes = PanelBytes(part.dtype, part.cols);
    const int64_t stride = pair_ ? pair_bytes : panel_bytes;
    for (int64_t p = 0; p < panels; ++p) FillPanel(part, p * kPanelRows, next + p * stride);
    sets_.push_back({part.dtype, first_row, part.rows, panels, stride, next});
    (IsBlockFormat(part.dtype) ? has_blocks_ : has_floats_) = true;
    first_row += part.rows;
    next += pair_ ? panel_bytes : panels * panel_bytes;
  }
  for (const PanelSet& set : sets_) num_panels_ += set.panels;
  if (pair_) num_panels_ /= 2;
}

}  // namespace braid
