#include "kernels/linear/weight_source.h"

#include <cmath>
#include <cstring>

#include "kernels/base/errors.h"
#include "kernels/float_types.h"

namespace braid {
namespace {

constexpr int kBlock = 32;

bool HasKernel(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 || IsBlockFormat(dtype);
}

bool IsFiniteF16(uint16_t bits) { return (bits & 0x7c00u) != 0x7c00u; }

// Reads the block at `index`; checkpoints may lie at any address.
template <class Block>
Block ReadBlock(const WeightPart& part, int64_t index) {
  Block block;
  std::memcpy(&block, part.bytes.data() + index * sizeof(Block), sizeof(Block));
  return block;
}

// Returns the index of the first block whose scale or minimum is not finite, or -1.
int64_t FirstBadBlock(const WeightPart& part) {
  const int64_t blocks = part.rows * part.cols / kBlock;
  const int num_scales = part.dtype == DType::kQ4_1 ? 2 : 1, size = BlockOf(part.dtype).bytes;
  for (int64_t i = 0; i < blocks; ++i) {
    uint16_t scales[2] = {};
    std::memcpy(scales, part.bytes.data() + i * size, 2 * num_scales);
    if (!IsFiniteF16(scales[0]) || !IsFiniteF16(scales[1])) return i;
  }
  return -1;
}

absl::Status CheckPart(const WeightPart& part) {
  if (!HasKernel(part.dtype)) {
    return absl::InvalidArgumentError(absl::StrCat("no matrix kernel for weights of type ", DTypeName(part.dtype),
                                                   "; F32, F16, BF16, Q8_0, Q4_0 and Q4_1 have one"));
  }
  int64_t elements;
  if (part.rows < 0 || part.cols < 0 || __builtin_mul_overflow(part.rows, part.cols, &elements) ||
      elements > INT64_MAX / 64) {
    return absl::InvalidArgumentError(absl::StrCat("weight shape [", part.rows, ", ", part.cols, "] is out of range"));
  }
  if (part.cols % BlockOf(part.dtype).elements != 0) {
    return absl::InvalidArgumentError(absl::StrCat("weight has ", part.cols, " columns; ", DTypeName(part.dtype),
                                                   " wants a multiple of ", BlockOf(part.dtype).elements));
  }
  if (static_cast<int64_t>(part.bytes.size()) != DTypeBytes(part.dtype, elements)) {
    return absl::InvalidArgumentError(absl::StrCat("weight [", part.rows, ", ", part.cols, "] of ",
                                                   DTypeName(part.dtype), " has ", part.bytes.size(), " bytes, not ",
                                                   DTypeBytes(part.dtype, elements)));
  }
  if (!IsBlockFormat(part.dtype)) return absl::OkStatus();
  const int64_t bad = FirstBadBlock(part);
  if (bad < 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("scale of ", DTypeName(part.dtype), " block ", bad * kBlock % part.cols / kBlock,
                                                 " in weight row ", bad * kBlock / part.cols, " is not finite"));
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
  return absl::OkStatus();
}

int64_t TotalRows(const WeightSource& source) {
  int64_t rows = 0;
  for (const WeightPart& part : source.parts) rows += part.rows;
  return rows;
}

namespace {

template <class T>
void WidenRow(const WeightPart& part, int64_t row, float* out) {
  for (int64_t k = 0; k < part.cols; ++k) {
    T value;
    std::memcpy(&value, part.bytes.data() + (row * part.cols + k) * sizeof(T), sizeof(T));
    out[k] = ToFloat(value);
  }
}

void Dequantize(const BlockQ8_0& block, float* out) {
  for (int j = 0; j < kBlock; ++j) out[j] = ToFloat(F16{block.scale}) * block.codes[j];
}
void Dequantize(const BlockQ4_0& block, float* out) {
  for (int j = 0; j < kBlock; ++j) {
    const int code = block.codes[j % 16] >> (j / 16 * 4) & 15;
    out[j] = ToFloat(F16{block.scale}) * (code - 8);
  }
}
void Dequantize(const BlockQ4_1& block, float* out) {
  for (int j = 0; j < kBlock; ++j) {
    const int code = block.codes[j % 16] >> (j / 16 * 4) & 15;
    out[j] = ToFloat(F16{block.scale}) * code + ToFloat(F16{block.min});
  }
}

template <class Block>
void DequantizeBlocks(const WeightPart& part, int64_t row, float* out) {
  const int64_t blocks = part.cols / kBlock;
  for (int64_t b = 0; b < blocks; ++b) Dequantize(ReadBlock<Block>(part, row * blocks + b), out + b * kBlock);
}

}  // namespace

void DequantizeRow(const WeightPart& part, int64_t row, float* out) {
  switch (part.dtype) {
    case DType::kF32: return WidenRow<float>(part, row, out);
    case DType::kF16: return WidenRow<F16>(part, row, out);
    case DType::kBF16: return WidenRow<Bf16>(part, row, out);
    case DType::kQ8_0: return DequantizeBlocks<BlockQ8_0>(part, row, out);
    case DType::kQ4_0: return DequantizeBlocks<BlockQ4_0>(part, row, out);
    case DType::kQ4_1: return DequantizeBlocks<BlockQ4_1>(part, row, out);
    default: CHECK(false) << DTypeName(part.dtype);
  }
}

}  // namespace braid
