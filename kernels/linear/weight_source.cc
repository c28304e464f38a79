#include "kernels/linear/weight_source.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/base/errors.h"
#include "kernels/float_types.h"
#include "kernels/quantize/unpacked_block.h"

namespace braid {
namespace {

bool IsPlain(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16; }

bool HasKernel(DType dtype) { return IsPlain(dtype) || dtype == DType::kF8E4M3 || IsBlockFormat(dtype); }

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class T>
T Load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

float LoadFloat(DType dtype, const std::byte* bytes, int64_t index) {
  switch (dtype) {
    case DType::kF32: return Load<float>(bytes + 4 * index);
    case DType::kF16: return ToFloat(Load<F16>(bytes + 2 * index));
    default: return ToFloat(Load<Bf16>(bytes + 2 * index));
  }
}

int64_t NumScales(const WeightPart& part) {
  if (part.scales.block_rows == 0) return 0;
  return CeilDiv(part.rows, part.scales.block_rows) * CeilDiv(part.cols, part.scales.block_cols);
}

// ---- checks

absl::Status CheckShape(const WeightPart& part) {
  int64_t elements;
  if (part.rows < 0 || part.cols < 0 || __builtin_mul_overflow(part.rows, part.cols, &elements) ||
      elements > INT64_MAX / 64) {
    return Wrong(absl::StrCat("weight shape [", part.rows, ", ", part.cols, "] is out of range"));
  }
  const int64_t multiple = part.dtype == DType::kNVFP4   ? 16
                           : part.dtype == DType::kMXFP4 ? 32
                                                         : BlockOf(part.dtype).elements;
  if (part.cols % multiple != 0) {
    return Wrong(absl::StrCat("weight has ", part.cols, " columns; ", DTypeName(part.dtype), " wants a multiple of ",
                              multiple));
  }
  if (static_cast<int64_t>(part.bytes.size()) == DTypeBytes(part.dtype, elements)) return absl::OkStatus();
  return Wrong(absl::StrCat("weight [", part.rows, ", ", part.cols, "] of ", DTypeName(part.dtype), " has ",
                            part.bytes.size(), " bytes, not ", DTypeBytes(part.dtype, elements)));
}

// Whether F8_E4M3's panels can change their scales after `block_cols` columns.
bool HasScaleDepth(int64_t block_cols, int64_t cols) {
  if (block_cols >= cols) return block_cols > 0;
  return block_cols >= 512 ? block_cols % 512 == 0 : block_cols >= 32 && 512 % block_cols == 0;
}

// What the scales of a format must be.
absl::Status CheckScaleKind(const WeightPart& part) {
  const WeightScales& scales = part.scales;
  const std::string shown = absl::StrCat(DTypeName(scales.dtype), " scales of [", scales.block_rows, ", ",
                                         scales.block_cols, "] weights");
  if (part.dtype == DType::kF8E4M3) {
    if (scales.block_rows == 0) return absl::OkStatus();
    if (IsPlain(scales.dtype) && scales.block_rows > 0 && HasScaleDepth(scales.block_cols, part.cols)) {
      return absl::OkStatus();
    }
    return Wrong(absl::StrCat("F8_E4M3 has ", shown, "; it wants F32, F16 or BF16 scales of whole rows or of 32, 64, ",
                              "128, 256 or a multiple of 512 columns"));
  }
  const bool nvfp4 = part.dtype == DType::kNVFP4;
  const DType wanted = nvfp4 ? DType::kF8E4M3 : DType::kF8E8M0;
  const int64_t cols = nvfp4 ? 16 : 32;
  if (scales.dtype == wanted && scales.block_rows == 1 && scales.block_cols == cols) return absl::OkStatus();
  return Wrong(absl::StrCat(DTypeName(part.dtype), " has ", shown, "; it wants ", DTypeName(wanted), " scales of [1, ",
                            cols, "] weights"));
}

bool IsFiniteScale(const WeightScales& scales, int64_t index) {
  if (scales.dtype == DType::kF8E4M3) return !IsNan(Load<E4m3>(scales.bytes.data() + index));
  if (scales.dtype == DType::kF8E8M0) return !IsNan(Load<E8m0>(scales.bytes.data() + index));
  return std::isfinite(LoadFloat(scales.dtype, scales.bytes.data(), index));
}

absl::Status CheckScales(const WeightPart& part) {
  RETURN_IF_ERROR(CheckScaleKind(part));
  const WeightScales& scales = part.scales;
  const int64_t count = NumScales(part), bytes = DTypeBytes(scales.dtype, count);
  if (static_cast<int64_t>(scales.bytes.size()) != bytes) {
    return Wrong(absl::StrCat("scales of a weight [", part.rows, ", ", part.cols, "] of ", DTypeName(part.dtype),
                              " have ", scales.bytes.size(), " bytes, not ", bytes));
  }
  if (!std::isfinite(scales.global)) return Wrong(absl::StrCat("scale of the whole weight is ", scales.global));
  for (int64_t i = 0; i < count; ++i) {
    if (!IsFiniteScale(scales, i))
      return Wrong(absl::StrCat("scale ", i, " of ", DTypeName(part.dtype), " weight is not finite"));
  }
  return absl::OkStatus();
}

absl::Status CheckFp8Codes(const WeightPart& part) {
  const auto* const bad = std::find_if(part.bytes.data(), part.bytes.data() + part.bytes.size(),
                                       [](std::byte code) { return IsNan(E4m3{static_cast<uint8_t>(code)}); });
  const int64_t at = bad - part.bytes.data();
  if (at == static_cast<int64_t>(part.bytes.size())) return absl::OkStatus();
  return Wrong(absl::StrCat("weight at row ", at / part.cols, ", column ", at % part.cols, " is no number"));
}

absl::Status CheckBlocks(const WeightPart& part) {
  const DTypeBlock block = BlockOf(part.dtype);
  const int64_t blocks = part.rows * part.cols / block.elements;
  for (int64_t i = 0; i < blocks; ++i) {
    if (HasFiniteScales(part.dtype, part.bytes.data() + i * block.bytes)) continue;
    return Wrong(absl::StrCat("scale of ", DTypeName(part.dtype), " block ",
                              i * block.elements % part.cols / block.elements, " in weight row ",
                              i * block.elements / part.cols, " is not finite"));
  }
  return absl::OkStatus();
}

absl::Status CheckPart(const WeightPart& part) {
  if (!HasKernel(part.dtype)) {
    return Wrong(absl::StrCat("no matrix kernel for weights of type ", DTypeName(part.dtype),
                              "; F32, F16, BF16, F8_E4M3, NVFP4, MXFP4, INT4, INT8 and GGUF's Q2_K to Q8_0 and IQ4_NL have one"));
  }
  RETURN_IF_ERROR(CheckShape(part));
  if (part.dtype == DType::kF8E4M3) RETURN_IF_ERROR(CheckFp8Codes(part));
  if (part.dtype == DType::kF8E4M3 || IsFp4(part.dtype)) return CheckScales(part);
  return IsBlockFormat(part.dtype) ? CheckBlocks(part) : absl::OkStatus();
}

absl::Status CheckOrder(const WeightSource& source) {
  const std::vector<int32_t>& order = source.input_order;
  const int64_t cols = source.parts[0].cols;
  if (order.empty()) return absl::OkStatus();
  if (static_cast<int64_t>(order.size()) != cols) {
    return Wrong(absl::StrCat("order of inputs has ", order.size(), " numbers for ", cols, " columns"));
  }
  std::vector<bool> seen(order.size());
  for (int32_t input : order) {
    if (input < 0 || input >= cols || seen[input]) return Wrong(absl::StrCat("order of inputs repeats or lacks ", input));
    seen[input] = true;
  }
  for (const WeightPart& part : source.parts) {
    if (!IsBlockFormat(part.dtype)) return Wrong(absl::StrCat(DTypeName(part.dtype), " with an order of inputs"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckSource(const WeightSource& source) {
  if (source.parts.empty()) return absl::InvalidArgumentError("weight has no parts");
  for (const WeightPart& part : source.parts) {
    RETURN_IF_ERROR(CheckPart(part));
    if (part.cols != source.parts[0].cols) {
      return absl::InvalidArgumentError(
          absl::StrCat("parts of one weight have ", source.parts[0].cols, " and ", part.cols, " columns"));
    }
  }
  if (source.gate_up_pair && (source.parts.size() != 2 || source.parts[0].rows != source.parts[1].rows)) {
    return absl::InvalidArgumentError("gate and up must be two weights of equal rows");
  }
  return CheckOrder(source);
}

int64_t TotalRows(const WeightSource& source) {
  int64_t rows = 0;
  for (const WeightPart& part : source.parts) rows += part.rows;
  return rows;
}

float Fp8Scale(const WeightPart& part, int64_t row, int64_t col) {
  const WeightScales& scales = part.scales;
  if (scales.block_rows == 0) return scales.global;
  const int64_t index = row / scales.block_rows * CeilDiv(part.cols, scales.block_cols) + col / scales.block_cols;
  return LoadFloat(scales.dtype, scales.bytes.data(), index) * scales.global;
}

void TakeFp4Codes(const WeightPart& part, int64_t row, int64_t block, uint8_t* codes) {
  uint8_t pairs[16] = {};
  const int64_t first = 16 * block, count = std::min<int64_t>(16, part.cols / 2 - first);
  std::memcpy(pairs, part.bytes.data() + row * (part.cols / 2) + first, static_cast<size_t>(count));
  for (int j = 0; j < 16; ++j) {
    codes[2 * j] = pairs[j] & 15;
    codes[2 * j + 1] = pairs[j] >> 4;
  }
}

uint8_t Fp4Scale(const WeightPart& part, int64_t row, int64_t index) {
  const int64_t in_row = part.cols / part.scales.block_cols;
  return index < in_row ? static_cast<uint8_t>(part.scales.bytes[row * in_row + index]) : 0;
}

void DequantizeFp4(DType dtype, const uint8_t* codes, const uint8_t* scales, float global, int count, float* out) {
  for (int j = 0; j < count; ++j) {
    const float scale = dtype == DType::kNVFP4 ? ToFloat(E4m3{scales[j / 16]}) : ToFloat(E8m0{scales[j / 32]});
    out[j] = scale * global * ToFloat(E2m1{codes[j]});
  }
}

namespace {

template <class T>
void WidenRow(const WeightPart& part, int64_t row, float* out) {
  for (int64_t k = 0; k < part.cols; ++k)
    out[k] = ToFloat(Load<T>(part.bytes.data() + (row * part.cols + k) * sizeof(T)));
}

void DequantizeFp8Row(const WeightPart& part, int64_t row, float* out) {
  for (int64_t k = 0; k < part.cols; ++k) {
    out[k] = ToFloat(Load<E4m3>(part.bytes.data() + row * part.cols + k)) * Fp8Scale(part, row, k);
  }
}

void DequantizeFp4Row(const WeightPart& part, int64_t row, float* out) {
  const int scales_per_block = static_cast<int>(32 / part.scales.block_cols);
  for (int64_t k = 0; k < part.cols; k += 32) {
    uint8_t codes[32], scales[2];
    TakeFp4Codes(part, row, k / 32, codes);
    for (int h = 0; h < scales_per_block; ++h) scales[h] = Fp4Scale(part, row, k / 32 * scales_per_block + h);
    DequantizeFp4(part.dtype, codes, scales, part.scales.global, static_cast<int>(std::min<int64_t>(32, part.cols - k)),
                  out + k);
  }
}

void DequantizeBlockRow(const WeightPart& part, int64_t row, float* out) {
  const DTypeBlock layout = BlockOf(part.dtype);
  const int64_t blocks = part.cols / layout.elements;
  for (int64_t b = 0; b < blocks; ++b, out += layout.elements) {
    UnpackedBlock block;
    Unpack(part.dtype, part.bytes.data() + (row * blocks + b) * layout.bytes, &block);
    Dequantize(part.dtype, block, layout.elements, out);
  }
}

}  // namespace

void DequantizeRow(const WeightPart& part, int64_t row, float* out) {
  switch (part.dtype) {
    case DType::kF32: return WidenRow<float>(part, row, out);
    case DType::kF16: return WidenRow<F16>(part, row, out);
    case DType::kBF16: return WidenRow<Bf16>(part, row, out);
    case DType::kF8E4M3: return DequantizeFp8Row(part, row, out);
    case DType::kNVFP4:
    case DType::kMXFP4: return DequantizeFp4Row(part, row, out);
    default: return DequantizeBlockRow(part, row, out);
  }
}

}  // namespace braid
