// A weight as the CPU's kernels like it: panels of 16 output rows, so that a SIMD lane is one row and runs along the
// input alone. One layout serves every instruction set. Parts keep their formats; each has its own panels, the last
// one padded with zero rows. Gate and up of a pair alternate panel by panel.
//
// A panel of cols = 32 * blocks inputs:
//   F32, F16, BF16: [cols][16 rows]
//   Q4_0, Q4_1:     per block: codes [4 groups][16 rows][4 bytes], scales [16 rows] f16, in Q4_1 minima [16 rows] f16;
//                   group g has inputs 4g..4g+3 in the low halves of its bytes and 16+4g..16+4g+3 in the high halves
//   Q8_0:           per block: codes + 128 [8 groups][16 rows][4 bytes], scales [16 rows] f16
// A block's scales lie behind its codes, so that one row's product reads one stream.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/packed_weight.h"

namespace braid {

inline constexpr int kPanelRows = 16;
inline constexpr int kBlockCols = 32;

// One part in panels.
struct PanelSet {
  DType dtype;
  int64_t first_row;  // of the whole matrix
  int64_t rows;
  int64_t panels;
  int64_t stride;     // bytes from one panel to the next
  const std::byte* data;

  const std::byte* panel(int64_t i) const { return data + i * stride; }
};

// Bytes of one block of a panel: its codes, then its scales (and minima).
struct PanelBlock {
  int code_bytes;
  int bytes;
};
constexpr PanelBlock PanelBlockOf(DType dtype) {
  const int code_bytes = dtype == DType::kQ8_0 ? 512 : 256;
  return {code_bytes, code_bytes + 2 * kPanelRows * (dtype == DType::kQ4_1 ? 2 : 1)};
}

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

 private:
  explicit CpuPackedWeight(const WeightSource& source);

  std::vector<PanelSet> sets_;
  Bytes bytes_;
  bool pair_;
  bool has_blocks_ = false, has_floats_ = false;
  int64_t num_panels_ = 0;
};

}  // namespace braid
