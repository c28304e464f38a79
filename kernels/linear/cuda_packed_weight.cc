#include "kernels/linear/cuda_packed_weight.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/errors.h"
#include "kernels/cuda_ops.h"
#include "kernels/device.h"
#include "kernels/float_types.h"
#include "kernels/linear/weight_source.h"
#include "kernels/quantize/unpacked_block.h"

namespace braid {
namespace {

constexpr int kTiles = 4;  // of 8 rows in a panel

int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ---- the plan

CudaKind KindOf(DType dtype) {
  switch (dtype) {
    case DType::kF32: return CudaKind::kF32;
    case DType::kF16: return CudaKind::kF16;
    case DType::kBF16: return CudaKind::kBF16;
    case DType::kF8E4M3: return CudaKind::kFp8;
    case DType::kNVFP4:
    case DType::kMXFP4:
    case DType::kMXFP4Blocks: return CudaKind::kFp4;
    default: return CudaKind::kBlocks;
  }
}

CudaBlockLayout BlockLayoutOf(DType dtype) {
  const BlockFacts facts = FactsOf(dtype);
  CudaBlockLayout layout;
  layout.zero = static_cast<uint8_t>(facts.zero);
  layout.iq4 = dtype == DType::kIQ4_NL;
  layout.min_sign = static_cast<int8_t>(facts.min == BlockFacts::kPlus ? 1 : facts.min == BlockFacts::kMinus ? -1 : 0);
  if (facts.own_zero) layout.min_sign = -1;
  layout.own_zero = facts.own_zero;
  layout.bytes = dtype == DType::kQ8_0 || dtype == DType::kInt8;
  layout.nibbles = !layout.bytes && dtype != DType::kQ2_K && dtype != DType::kQ3_K;
  layout.pairs = dtype == DType::kQ2_K || dtype == DType::kQ3_K || dtype == DType::kQ6_K;
  layout.bits = dtype == DType::kQ3_K || dtype == DType::kQ5_0 || dtype == DType::kQ5_1 || dtype == DType::kQ5_K;
  if (facts.group == 32) layout.factors = CudaBlockLayout::kScaleMin;
  if (facts.group == 16) layout.factors = dtype == DType::kQ2_K ? CudaBlockLayout::kPacked16 : CudaBlockLayout::kSigned16;
  return layout;
}

int CodeBytes(const CudaWeightSet& set) {
  switch (set.kind) {
    case CudaKind::kF32: return 4096;
    case CudaKind::kF16:
    case CudaKind::kBF16: return 2048;
    case CudaKind::kFp8: return 1024;
    case CudaKind::kFp4: return 512;
    case CudaKind::kBlocks: break;
  }
  return set.blocks.bytes * 1024 + set.blocks.nibbles * 512 + set.blocks.pairs * 256 + set.blocks.bits * 128;
}

int FactorBytes(const CudaWeightSet& set) {
  if (set.kind == CudaKind::kFp4) return set.mxfp4 ? 32 : 64;
  return set.kind == CudaKind::kBlocks && set.blocks.factors != CudaBlockLayout::kNone ? 64 : 0;
}

// F8_E4M3 whose scales change along a row.
bool HasScaleBlocks(const WeightPart& part) {
  return part.dtype == DType::kF8E4M3 && part.scales.block_rows > 0 && part.scales.block_cols < part.cols;
}

void PlanHeads(const WeightPart& part, CudaWeightSet* set) {
  if (HasScaleBlocks(part)) {
    set->head_chunks = static_cast<int32_t>(part.scales.block_cols / kCudaChunk);
    set->head_bytes = 4 * kCudaPanelRows;
  } else if (set->kind == CudaKind::kBlocks) {
    set->head_chunks = BlockOf(part.dtype).elements / kCudaChunk;
    set->head_bytes = (set->blocks.min_sign != 0 ? 4 : 2) * kCudaPanelRows;
  }
}

bool HasRowScales(const WeightPart& part) {
  if (part.dtype == DType::kF8E4M3) return !HasScaleBlocks(part);
  return part.dtype == DType::kNVFP4 || part.dtype == DType::kMXFP4;
}

CudaWeightSet PlanSet(const WeightPart& part, int64_t first_row, bool pair) {
  CudaWeightSet set;
  set.kind = KindOf(part.dtype);
  set.pair = pair;
  set.mxfp4 = part.dtype == DType::kMXFP4 || part.dtype == DType::kMXFP4Blocks;
  if (set.kind == CudaKind::kBlocks) set.blocks = BlockLayoutOf(part.dtype);
  set.first_row = static_cast<int32_t>(first_row);
  set.rows = static_cast<int32_t>(part.rows * (pair ? 2 : 1));
  set.cols = static_cast<int32_t>(part.cols);
  set.panels = static_cast<int32_t>(CeilDiv(part.rows, pair ? kCudaPanelRows / 2 : kCudaPanelRows));
  set.chunks = static_cast<int32_t>(CeilDiv(part.cols, kCudaChunk));
  set.chunk_bytes = CodeBytes(set) + FactorBytes(set);
  PlanHeads(part, &set);
  if (set.head_chunks > 0) set.num_heads = static_cast<int32_t>(CeilDiv(set.chunks, set.head_chunks));
  return set;
}

// Whether gate and up can lie in one set.
bool CanInterleave(const WeightSource& source) {
  if (!source.gate_up_pair || source.parts[0].dtype != source.parts[1].dtype) return false;
  const WeightPart &gate = source.parts[0], &up = source.parts[1];
  return HasScaleBlocks(gate) == HasScaleBlocks(up) &&
         (!HasScaleBlocks(gate) || gate.scales.block_cols == up.scales.block_cols);
}

// ---- where things lie

// The order of a byte's or nibble's code within its word, by q or e.
constexpr int kByteOf[4] = {0, 2, 1, 3};
constexpr int kNibbleOf[8] = {0, 4, 1, 5, 2, 6, 3, 7};

// The input, within its chunk, of element e of a lane whose lane % 4 is c.
constexpr int InputOf(int c, int e) { return 16 * (e / 4) + 2 * c + e % 2 + 8 * (e / 2 % 2); }
// [r][j] of a row of a panel.
int Slot(int row) { return row % 8 * kTiles + row / 8; }

// Rows of a source part in a set: the panel, and the row within it.
struct Place {
  int64_t panel;
  int row;
  int tile() const { return row / 8; }
  int first_lane() const { return row % 8 * 4; }  // of four
};
Place PlaceOf(const CudaWeightSet& set, int part, int64_t row) {
  if (!set.pair) return {row / 32, static_cast<int>(row % 32)};
  return {row / 16, static_cast<int>(row % 16 + 16 * part)};
}

// ---- codes of one row's 32 inputs into a chunk

template <class T>
void PutPlain(const T* from, Place place, uint8_t* chunk) {
  const int loads = sizeof(T) == 4 ? 2 : 1;  // of 16 bytes for a tile
  uint8_t* const tile = chunk + place.tile() * loads * 512 + place.first_lane() * 16;
  for (int c = 0; c < 4; ++c) {
    for (int e = 0; e < 8; e += 2) {
      const int at = sizeof(T) == 4 ? e / 4 * 512 + e % 4 * 4 : e * 2;
      std::memcpy(tile + c * 16 + at, from + InputOf(c, e), 2 * sizeof(T));
    }
  }
}

void PutBytes(const uint8_t* codes, Place place, uint8_t* chunk) {
  const int word = 2 * place.tile();
  uint8_t* const tile = chunk + word / 4 * 512 + place.first_lane() * 16 + word % 4 * 4;
  for (int c = 0; c < 4; ++c) {
    for (int e = 0; e < 8; ++e) tile[c * 16 + e / 4 * 4 + kByteOf[e % 4]] = codes[InputOf(c, e)];
  }
}

void PutNibbles(const uint8_t* codes, Place place, uint8_t* chunk) {
  for (int c = 0; c < 4; ++c) {
    uint32_t word = 0;
    for (int e = 0; e < 8; ++e) word |= uint32_t{codes[InputOf(c, e)] & 15u} << 4 * kNibbleOf[e];
    std::memcpy(chunk + (place.first_lane() + c) * 16 + place.tile() * 4, &word, 4);
  }
}

// Two bits of each code from `shift` on, and one.
void PutPairs(const uint8_t* codes, int shift, Place place, uint8_t* plane) {
  for (int c = 0; c < 4; ++c) {
    uint32_t pairs = 0;
    for (int e = 0; e < 8; ++e) pairs |= (uint32_t{codes[InputOf(c, e)]} >> shift & 3u) << 2 * e;
    std::memcpy(plane + (place.first_lane() + c) * 8 + place.tile() * 2, &pairs, 2);
  }
}
void PutBits(const uint8_t* codes, int shift, Place place, uint8_t* plane) {
  for (int c = 0; c < 4; ++c) {
    uint32_t bits = 0;
    for (int e = 0; e < 8; ++e) bits |= (uint32_t{codes[InputOf(c, e)]} >> shift & 1u) << e;
    plane[(place.first_lane() + c) * 4 + place.tile()] = static_cast<uint8_t>(bits);
  }
}

void PutBlockCodes(const CudaBlockLayout& layout, const uint8_t* codes, Place place, uint8_t* chunk) {
  if (layout.bytes) return PutBytes(codes, place, chunk);
  int shift = 0;
  if (layout.nibbles) {
    PutNibbles(codes, place, chunk);
    chunk += 512;
    shift += 4;
  }
  if (layout.pairs) {
    PutPairs(codes, shift, place, chunk);
    chunk += 256;
    shift += 2;
  }
  if (layout.bits) PutBits(codes, shift, place, chunk);
}

void PutBlockFactors(const CudaWeightSet& set, const UnpackedBlock& block, int index, int row, uint8_t* factors) {
  uint8_t* const at = factors + 2 * Slot(row);
  switch (set.blocks.factors) {
    case CudaBlockLayout::kNone: return;
    case CudaBlockLayout::kScaleMin:
      at[0] = static_cast<uint8_t>(block.scales[index]);
      at[1] = block.mins[index];
      return;
    case CudaBlockLayout::kSigned16:
    case CudaBlockLayout::kPacked16:
      for (int h = 0; h < 2; ++h) {
        at[h] = static_cast<uint8_t>(block.scales[2 * index + h] | block.mins[2 * index + h] << 4);
      }
      return;
  }
}

// ---- one row of a part

struct RowSink {
  const CudaWeightSet& set;
  std::byte* base;
  Place place;
  uint8_t* chunk(int64_t index) const {
    return reinterpret_cast<uint8_t*>(base) + set.codes_offset + (place.panel * set.chunks + index) * set.chunk_bytes;
  }
  uint8_t* factors(int64_t index) const { return chunk(index) + CodeBytes(set); }
  uint8_t* head(int64_t index) const {
    return reinterpret_cast<uint8_t*>(base) + set.heads_offset + (place.panel * set.num_heads + index) * set.head_bytes;
  }
};

// Calls put(32 elements, chunk) along a row of `cols` elements at `from`; zeros behind the last.
template <class T, class Put>
void ForChunks(const std::byte* from, int64_t cols, const Put& put) {
  for (int64_t k = 0; k < cols; k += kCudaChunk) {
    T elements[kCudaChunk] = {};
    const int64_t count = std::min<int64_t>(kCudaChunk, cols - k);
    std::memcpy(elements, from + k * static_cast<int64_t>(sizeof(T)), sizeof(T) * static_cast<size_t>(count));
    put(elements, k / kCudaChunk);
  }
}

template <class T>
void FillPlain(const WeightPart& part, int64_t row, const RowSink& sink) {
  ForChunks<T>(part.bytes.data() + row * part.cols * static_cast<int64_t>(sizeof(T)), part.cols,
               [&](const T* elements, int64_t chunk) { PutPlain(elements, sink.place, sink.chunk(chunk)); });
}

void FillFp8(const WeightPart& part, int64_t row, const RowSink& sink) {
  ForChunks<uint8_t>(part.bytes.data() + row * part.cols, part.cols,
                     [&](const uint8_t* codes, int64_t chunk) { PutBytes(codes, sink.place, sink.chunk(chunk)); });
  for (int32_t i = 0; i < sink.set.num_heads; ++i) {
    const float scale = Fp8Scale(part, row, int64_t{i} * part.scales.block_cols);
    std::memcpy(sink.head(i) + 4 * Slot(sink.place.row), &scale, 4);
  }
}

void FillFp4(const WeightPart& part, int64_t row, const RowSink& sink) {
  const int slot = Slot(sink.place.row);
  for (int64_t b = 0; b < sink.set.chunks; ++b) {
    uint8_t codes[32];
    TakeFp4Codes(part, row, b, codes);
    PutNibbles(codes, sink.place, sink.chunk(b));
    if (sink.set.mxfp4) {
      sink.factors(b)[slot] = Fp4Scale(part, row, b);
    } else {
      for (int h = 0; h < 2; ++h) sink.factors(b)[2 * slot + h] = Fp4Scale(part, row, 2 * b + h);
    }
  }
}

void FillMxfp4Block(const UnpackedBlock& block, int64_t chunk, const RowSink& sink) {
  PutNibbles(block.codes, sink.place, sink.chunk(chunk));
  sink.factors(chunk)[Slot(sink.place.row)] = static_cast<uint8_t>(block.scale);
}

void PutBlockHead(const CudaWeightSet& set, const UnpackedBlock& block, int row, uint8_t* head) {
  if (set.blocks.min_sign == 0) return static_cast<void>(std::memcpy(head + 2 * Slot(row), &block.scale, 2));
  const uint16_t both[2] = {block.scale, set.blocks.own_zero ? ToF16(block.zero).bits : block.min};
  std::memcpy(head + 4 * Slot(row), both, 4);
}

void FillBlocks(const WeightPart& part, int64_t row, const RowSink& sink) {
  const DTypeBlock stored = BlockOf(part.dtype);
  const int64_t blocks = part.cols / stored.elements;
  const int chunks = stored.elements / kCudaChunk;
  for (int64_t b = 0; b < blocks; ++b) {
    UnpackedBlock block;
    Unpack(part.dtype, part.bytes.data() + (row * blocks + b) * stored.bytes, &block);
    if (sink.set.kind == CudaKind::kFp4) {
      FillMxfp4Block(block, b, sink);
      continue;
    }
    PutBlockHead(sink.set, block, sink.place.row, sink.head(b));
    for (int i = 0; i < chunks; ++i) {
      PutBlockCodes(sink.set.blocks, block.codes + i * kCudaChunk, sink.place, sink.chunk(b * chunks + i));
      PutBlockFactors(sink.set, block, i, sink.place.row, sink.factors(b * chunks + i));
    }
  }
}

// What a row's products are multiplied with. NVFP4's codes are widened to 2^-8 of their value.
float RowScale(const WeightPart& part, int64_t row) {
  if (part.dtype == DType::kF8E4M3) return part.cols > 0 ? Fp8Scale(part, row, 0) : 1.0f;
  return part.dtype == DType::kNVFP4 ? part.scales.global * 256.0f : part.scales.global;
}

void FillRow(const WeightPart& part, int64_t row, const RowSink& sink) {
  switch (part.dtype) {
    case DType::kF32: return FillPlain<uint32_t>(part, row, sink);
    case DType::kF16:
    case DType::kBF16: return FillPlain<uint16_t>(part, row, sink);
    case DType::kF8E4M3: return FillFp8(part, row, sink);
    case DType::kNVFP4:
    case DType::kMXFP4: return FillFp4(part, row, sink);
    default: return FillBlocks(part, row, sink);
  }
}

void FillPart(const WeightPart& part, int index, const CudaWeightSet& set, std::byte* out) {
  for (int64_t row = 0; row < part.rows; ++row) {
    const Place place = PlaceOf(set, index, row);
    FillRow(part, row, {set, out, place});
    if (set.row_scales_offset < 0) continue;
    const float scale = RowScale(part, row);
    std::memcpy(out + set.row_scales_offset + 4 * (place.panel * kCudaPanelRows + place.row), &scale, 4);
  }
}

int64_t Round16(int64_t bytes) { return (bytes + 15) / 16 * 16; }

}  // namespace

std::vector<CudaWeightSet> CudaPackedWeight::PlanSets(const WeightSource& source, int64_t* bytes) {
  std::vector<CudaWeightSet> sets;
  const bool interleave = CanInterleave(source);
  int64_t first_row = 0, at = 0;
  for (size_t i = 0; i < (interleave ? 1 : source.parts.size()); ++i) {
    const WeightPart& part = source.parts[i];
    CudaWeightSet set = PlanSet(part, first_row, interleave);
    set.codes_offset = at;
    at = Round16(at + int64_t{set.panels} * set.chunks * set.chunk_bytes);
    set.heads_offset = at;
    at = Round16(at + int64_t{set.panels} * set.num_heads * set.head_bytes);
    if (HasRowScales(part)) {
      set.row_scales_offset = at;
      at += int64_t{set.panels} * kCudaPanelRows * 4;
    }
    first_row += set.rows;
    sets.push_back(set);
  }
  *bytes = at;
  return sets;
}

void CudaPackedWeight::Fill(const WeightSource& source, const std::vector<CudaWeightSet>& sets, std::byte* out) {
  const bool interleaved = sets.size() < source.parts.size();
  for (size_t i = 0; i < source.parts.size(); ++i) {
    FillPart(source.parts[i], interleaved ? static_cast<int>(i) : 0, sets[interleaved ? 0 : i], out);
  }
}

CudaPackedWeight::CudaPackedWeight(const WeightSource& source)
    : PackedWeight(TotalRows(source), source.parts[0].cols, source.input_order) {
  sets_ = PlanSets(source, &bytes_);
  order_offset_ = Round16(bytes_);
  if (!source.input_order.empty()) bytes_ = order_offset_ + 4 * cols();
}

absl::StatusOr<std::unique_ptr<PackedWeight>> CudaPackedWeight::Pack(const WeightSource& source) {
  RETURN_IF_ERROR(CheckSource(source));
  std::unique_ptr<CudaPackedWeight> packed(new CudaPackedWeight(source));
  const Bytes host(static_cast<size_t>(std::max<int64_t>(packed->bytes_, 16)));
  Fill(source, packed->sets_, host.data());
  std::copy(source.input_order.begin(), source.input_order.end(),
            reinterpret_cast<int32_t*>(host.data() + packed->order_offset_));
  ASSIGN_OR_RETURN(packed->memory_, device::Allocate(host.size()));
  device::Upload(host.data(), packed->memory_.data(), host.size());
  return packed;
}

namespace cuda {
absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source) { return CudaPackedWeight::Pack(source); }
}  // namespace cuda

}  // namespace braid
