#include "kernels/linear/cpu_packed_weight.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/errors.h"
#include "kernels/linear/weight_source.h"
#include "kernels/float_types.h"

namespace braid {
namespace {

// Inputs between scales where a format has one for a whole row: sums rest in memory as often.
constexpr int64_t kRowDepth = 512;

int64_t NumPanels(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

DType PanelType(DType dtype) { return dtype == DType::kMXFP4Blocks ? DType::kMXFP4 : dtype; }

int64_t DepthOf(const WeightPart& part) {
  if (part.dtype != DType::kF8E4M3) return 0;
  const WeightScales& scales = part.scales;
  return scales.block_rows == 0 || scales.block_cols >= part.cols ? kRowDepth : std::min(scales.block_cols, kRowDepth);
}

// Bytes of a group of `depth` inputs in a panel of F8_E4M3.
int64_t Fp8GroupBytes(int64_t depth) { return kPanelRows * (depth + 4); }

int64_t PanelBytes(const WeightPart& part) {
  const DType dtype = PanelType(part.dtype);
  int64_t bytes = kPanelRows * part.cols * BlockOf(dtype).bytes;
  if (dtype == DType::kF8E4M3) {
    const int64_t depth = DepthOf(part);
    bytes += (part.cols + depth - 1) / depth * kPanelRows * 4;
  } else if (IsBlockFormat(dtype)) {
    const PanelFormat format = PanelFormatOf(dtype);
    bytes = BlocksOf(part.cols) * format.block_bytes() + part.cols / (kHeadBlocks * kBlockCols) * format.head;
  }
  return (bytes + 63) / 64 * 64;
}

// ---- filling: the `lanes` rows of `part` from `first` on

template <class T>
void FillFloats(const WeightPart& part, int64_t first, int lanes, std::byte* panel) {
  T* const out = reinterpret_cast<T*>(panel);
  for (int lane = 0; lane < lanes; ++lane) {
    const std::byte* const row = part.bytes.data() + (first + lane) * part.cols * sizeof(T);
    for (int64_t k = 0; k < part.cols; ++k) std::memcpy(&out[k * kPanelRows + lane], row + k * sizeof(T), sizeof(T));
  }
}

void FillFp8(const WeightPart& part, int64_t first, int lanes, std::byte* panel) {
  const int64_t depth = DepthOf(part);
  for (int64_t begin = 0; begin < part.cols; begin += depth, panel += Fp8GroupBytes(depth)) {
    const int64_t count = std::min(depth, part.cols - begin);
    for (int lane = 0; lane < lanes; ++lane) {
      const std::byte* const row = part.bytes.data() + (first + lane) * part.cols + begin;
      for (int64_t k = 0; k < count; ++k) panel[k * kPanelRows + lane] = row[k];
      const float scale = Fp8Scale(part, first + lane, begin);
      std::memcpy(panel + count * kPanelRows + 4 * lane, &scale, 4);
    }
  }
}

void FillFp4(const WeightPart& part, int64_t first, int lanes, uint8_t* panel) {
  const PanelFormat format = PanelFormatOf(part.dtype);
  const int per_block = static_cast<int>(kBlockCols / part.scales.block_cols);
  for (int64_t b = 0; b < BlocksOf(part.cols); ++b, panel += format.block_bytes()) {
    for (int lane = 0; lane < lanes; ++lane) {
      uint8_t codes[kBlockCols];
      TakeFp4Codes(part, first + lane, b, codes);
      SetPanelCodes(format, codes, lane, panel);
      for (int h = 0; h < per_block; ++h) {
        panel[format.code_bytes() + h * kPanelRows + lane] = Fp4Scale(part, first + lane, b * per_block + h);
      }
    }
  }
}

// Blocks of 32 whose nibbles stand as the panel wants them, behind a scale of 1 or 2 bytes and perhaps a minimum.
void FillNibbles(const WeightPart& part, int64_t first, int lanes, uint8_t* panel) {
  const PanelFormat format = PanelFormatOf(PanelType(part.dtype));
  const int64_t blocks = part.cols / kBlockCols, size = BlockOf(part.dtype).bytes, scale_bytes = size - 16;
  const int64_t width = scale_bytes == 1 ? 1 : 2;
  for (int64_t b = 0; b < blocks; ++b, panel += format.block_bytes()) {
    for (int lane = 0; lane < lanes; ++lane) {
      const std::byte* const block = part.bytes.data() + ((first + lane) * blocks + b) * size;
      uint8_t* const scales = panel + format.code_bytes() + width * lane;
      for (int g = 0; g < 4; ++g) std::memcpy(panel + g * kUnitBytes + 4 * lane, block + scale_bytes + 4 * g, 4);
      std::memcpy(scales, block, static_cast<size_t>(width));
      if (scale_bytes == 4) std::memcpy(scales + 2 * kPanelRows, block + 2, 2);
    }
  }
}

void FillBlocks(const WeightPart& part, int64_t first, int lanes, uint8_t* panel) {
  const DType dtype = PanelType(part.dtype);
  const DTypeBlock stored = BlockOf(part.dtype);
  const PanelFormat format = PanelFormatOf(dtype);
  const int64_t blocks = part.cols / stored.elements;
  const int panel_blocks = stored.elements / kBlockCols;
  for (int64_t b = 0; b < blocks; ++b, panel += format.head + panel_blocks * format.block_bytes()) {
    for (int lane = 0; lane < lanes; ++lane) {
      UnpackedBlock block;
      Unpack(part.dtype, part.bytes.data() + ((first + lane) * blocks + b) * stored.bytes, &block);
      if (format.head > 0) SetPanelHead(dtype, block, lane, panel);
      for (int i = 0; i < panel_blocks; ++i) {
        uint8_t* const to = panel + format.head + i * format.block_bytes();
        SetPanelCodes(format, block.codes + i * kBlockCols, lane, to);
        SetPanelScales(dtype, block, i, lane, to + format.code_bytes());
      }
    }
  }
}

void FillPanel(const WeightPart& part, int64_t first, std::byte* panel) {
  const int lanes = static_cast<int>(std::min<int64_t>(kPanelRows, part.rows - first));
  switch (part.dtype) {
    case DType::kF32: return FillFloats<uint32_t>(part, first, lanes, panel);
    case DType::kF16:
    case DType::kBF16: return FillFloats<uint16_t>(part, first, lanes, panel);
    case DType::kF8E4M3: return FillFp8(part, first, lanes, panel);
    case DType::kNVFP4:
    case DType::kMXFP4: return FillFp4(part, first, lanes, reinterpret_cast<uint8_t*>(panel));
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kIQ4_NL:
    case DType::kMXFP4Blocks: return FillNibbles(part, first, lanes, reinterpret_cast<uint8_t*>(panel));
    default: return FillBlocks(part, first, lanes, reinterpret_cast<uint8_t*>(panel));
  }
}

// ---- reading back one lane

template <class T>
void UnpackFloats(const std::byte* panel, int lane, int64_t cols, float* y) {
  const T* const weights = reinterpret_cast<const T*>(panel) + lane;
  for (int64_t k = 0; k < cols; ++k) y[k] = ToFloat(weights[k * kPanelRows]);
}

void UnpackFp8(const PanelSet& set, const std::byte* panel, int lane, int64_t cols, float* y) {
  for (int64_t begin = 0; begin < cols; begin += set.depth, panel += Fp8GroupBytes(set.depth)) {
    const int64_t count = std::min(set.depth, cols - begin);
    float scale;
    std::memcpy(&scale, panel + count * kPanelRows + 4 * lane, 4);
    for (int64_t k = 0; k < count; ++k) {
      y[begin + k] = ToFloat(E4m3{static_cast<uint8_t>(panel[k * kPanelRows + lane])}) * scale;
    }
  }
}

void UnpackBlock(const PanelSet& set, const uint8_t* head, const uint8_t* at, int lane, int count, float* y) {
  const PanelFormat format = PanelFormatOf(set.dtype);
  UnpackedBlock block;
  GetPanelCodes(format, at, lane, block.codes);
  GetPanelScales(set.dtype, head, at + format.code_bytes(), lane, &block);
  if (!IsFp4(set.dtype)) return Dequantize(set.dtype, block, count, y);
  const uint8_t scales[2] = {static_cast<uint8_t>(set.dtype == DType::kNVFP4 ? block.scales[0] : block.scale),
                             static_cast<uint8_t>(block.scales[1])};
  DequantizeFp4(set.dtype, block.codes, scales, set.global, count, y);
}

void UnpackBlocks(const PanelSet& set, const std::byte* panel, int lane, int64_t cols, float* y) {
  const PanelFormat format = PanelFormatOf(set.dtype);
  const uint8_t* at = reinterpret_cast<const uint8_t*>(panel);
  const uint8_t* head = nullptr;
  for (int64_t b = 0; b < BlocksOf(cols); ++b, at += format.block_bytes()) {
    if (format.head > 0 && b % kHeadBlocks == 0) {
      head = at;
      at += format.head;
    }
    UnpackBlock(set, head, at, lane, static_cast<int>(std::min<int64_t>(kBlockCols, cols - b * kBlockCols)),
                y + b * kBlockCols);
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackedWeight>> CpuPackedWeight::Pack(const WeightSource& source) {
  RETURN_IF_ERROR(CheckSource(source));
  return std::unique_ptr<PackedWeight>(new CpuPackedWeight(source));
}

CpuPackedWeight::CpuPackedWeight(const WeightSource& source)
    : PackedWeight(TotalRows(source), source.parts[0].cols, source.input_order), pair_(source.gate_up_pair) {
  int64_t size = 0, pair_bytes = 0, first_row = 0;
  for (const WeightPart& part : source.parts) {
    size += NumPanels(part.rows) * PanelBytes(part);
    pair_bytes += PanelBytes(part);
  }
  bytes_ = Bytes(static_cast<size_t>(size));
  std::byte* next = bytes_.data();
  for (const WeightPart& part : source.parts) {
    const int64_t panels = NumPanels(part.rows), panel_bytes = PanelBytes(part);
    const int64_t stride = pair_ ? pair_bytes : panel_bytes;
    for (int64_t p = 0; p < panels; ++p) FillPanel(part, p * kPanelRows, next + p * stride);
    sets_.push_back({PanelType(part.dtype), first_row, part.rows, panels, stride, next, DepthOf(part),
                     IsFp4(part.dtype) ? part.scales.global : 1.0f});
    (IsBlockFormat(part.dtype) ? has_blocks_ : has_floats_) = true;
    first_row += part.rows;
    next += pair_ ? panel_bytes : panels * panel_bytes;
  }
  for (const PanelSet& set : sets_) num_panels_ += set.panels;
  if (pair_) num_panels_ /= 2;
}

void CpuPackedWeight::UnpackRow(int64_t row, float* y) const {
  const auto set = std::find_if(sets_.begin(), sets_.end(),
                                [&](const PanelSet& one) { return row < one.first_row + one.rows; });
  CHECK(row >= 0 && set != sets_.end()) << "row " << row << " of " << rows();
  const std::byte* const panel = set->panel((row - set->first_row) / kPanelRows);
  const int lane = static_cast<int>((row - set->first_row) % kPanelRows);
  switch (set->dtype) {
    case DType::kF32: return UnpackFloats<float>(panel, lane, cols(), y);
    case DType::kF16: return UnpackFloats<F16>(panel, lane, cols(), y);
    case DType::kBF16: return UnpackFloats<Bf16>(panel, lane, cols(), y);
    case DType::kF8E4M3: return UnpackFp8(*set, panel, lane, cols(), y);
    default: return UnpackBlocks(*set, panel, lane, cols(), y);
  }
}

}  // namespace braid
