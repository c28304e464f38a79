// A weight as the CPU's kernels like it: panels of 16 output rows, so that a SIMD lane is one row and runs along the
// input alone. One layout serves every instruction set. Parts keep their formats; each has its own panels, the last
// one padded with zero rows. Gate and up of a pair alternate panel by panel.
//
// A panel:
//   F32, F16, BF16: [cols][16 rows]
//   F8_E4M3:        for each `depth` inputs (the last may have fewer): codes [inputs][16 rows], scales f32 [16 rows]
//   block formats:  blocks of 32 inputs, panel_format.h
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/linear/panel_format.h"
#include "kernels/packed_weight.h"

namespace braid {

// One part in panels.
struct PanelSet {
  DType dtype;        // of the panels: GGUF's MXFP4 blocks become MXFP4
  int64_t first_row;  // of the whole matrix
  int64_t rows;
  int64_t panels;
  int64_t stride;     // bytes from one panel to the next
  const std::byte* data;
  int64_t depth = 0;      // F8_E4M3: inputs between changes of scale
  float global = 1.0f;    // NVFP4, MXFP4: multiplies all

  const std::byte* panel(int64_t i) const { return data + i * stride; }
};

class CpuPackedWeight final : public PackedWeight {
 public:
  static absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source);
  static const CpuPackedWeight& Of(const PackedWeight* weight) { return static_cast<const CpuPackedWeight&>(*weight); }

  std::span<const PanelSet> sets() const { return {sets_.data(), sets_.size()}; }
  // Two sets of equal shape, gate and up.
  bool is_pair() const { return pair_; }
  // Whether any part is of a block format, and any of a plain one.
  bool has_blocks() const { return has_blocks_; }
  bool has_floats() const { return has_floats_; }
  // Panels to be walked: those of all sets, or of the gate when it is a pair.
  int64_t num_panels() const { return num_panels_; }
  int64_t bytes() const override { return static_cast<int64_t>(bytes_.size()); }

  // Writes row `row`, cols floats, to `y`: what the definition's row holds.
  void UnpackRow(int64_t row, float* y) const;

 private:
  explicit CpuPackedWeight(const WeightSource& source);

  std::vector<PanelSet> sets_;
  Bytes bytes_;
  bool pair_;
  bool has_blocks_ = false, has_floats_ = false;
  int64_t num_panels_ = 0;
};

}  // namespace braid
