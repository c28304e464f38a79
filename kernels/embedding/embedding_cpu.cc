// Reads rows out of the panels that linear multiplies with: a tied table is kept once.
#include "kernels/cpu_ops.h"
#include "kernels/float_types.h"
#include "kernels/linear/cpu_packed_weight.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

const PanelSet& SetOf(const CpuPackedWeight& table, int64_t row) {
  const PanelSet* set = table.sets().data();
  while (row >= set->first_row + set->rows) ++set;
  return *set;
}

float WidenF16(uint16_t bits) { return _cvtsh_ss(bits); }

template <class T>
void CopyFloats(const std::byte* panel, int lane, int64_t cols, float* y) {
  const T* const weights = reinterpret_cast<const T*>(panel) + lane;
  for (int64_t k = 0; k < cols; ++k) y[k] = ToFloat(weights[k * kPanelRows]);
}

// Code `j` of a block, less the format's zero.
int CodeOf(DType dtype, const uint8_t* codes, int lane, int j) {
  if (dtype == DType::kQ8_0) return codes[j / 4 * 64 + lane * 4 + j % 4] - 128;
  const int byte = codes[j % 16 / 4 * 64 + lane * 4 + j % 4];
  return (j < 16 ? byte & 15 : byte >> 4) - (dtype == DType::kQ4_0 ? 8 : 0);
}

void CopyBlocks(DType dtype, const std::byte* panel, int lane, int64_t cols, float* y) {
  const PanelBlock layout = PanelBlockOf(dtype);
  for (int64_t k = 0; k < cols; k += kBlockCols, panel += layout.bytes, y += kBlockCols) {
    const uint8_t* const codes = reinterpret_cast<const uint8_t*>(panel);
    const uint16_t* const scales = reinterpret_cast<const uint16_t*>(panel + layout.code_bytes) + lane;
    const float scale = WidenF16(scales[0]), min = dtype == DType::kQ4_1 ? WidenF16(scales[kPanelRows]) : 0.0f;
    for (int j = 0; j < kBlockCols; ++j) y[j] = scale * static_cast<float>(CodeOf(dtype, codes, lane, j)) + min;
  }
}

void CopyRow(const CpuPackedWeight& table, int64_t row, float* y) {
  const PanelSet& set = SetOf(table, row);
  const int64_t in_set = row - set.first_row;
  const std::byte* const panel = set.panel(in_set / kPanelRows);
  const int lane = static_cast<int>(in_set % kPanelRows);
  switch (set.dtype) {
    case DType::kF32: return CopyFloats<float>(panel, lane, table.cols(), y);
    case DType::kF16: return CopyFloats<F16>(panel, lane, table.cols(), y);
    case DType::kBF16: return CopyFloats<Bf16>(panel, lane, table.cols(), y);
    default: return CopyBlocks(set.dtype, panel, lane, table.cols(), y);
  }
}

}  // namespace

void Embedding(const EmbeddingArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const Share::Range mine = share.Of(args.y.rows);
  for (int64_t t = mine.begin; t < mine.end; ++t) CopyRow(CpuPackedWeight::Of(args.table), args.ids[t], args.y.row(t));
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
