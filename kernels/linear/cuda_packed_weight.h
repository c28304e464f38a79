// A weight in device memory, laid out for tensor-core fragments.
//
// A panel is 32 output rows, cut along the inputs into chunks of 32. A lane of a warp (r = lane / 4, c = lane % 4) owns,
// of each chunk, the 32 weights that mma.m16n8k16 wants of it: rows 8 j + r (tile j = 0..3) and inputs
//   e = 4 h + q  ->  16 h + 2 c + q % 2 + 8 (q / 2),   h = 0, 1 (the step of 16), q = 0..3.
// A warp reads a chunk in loads of 16 bytes a lane, lane after lane:
//   F32:       8 loads, load 2 j + h has q = 0..3
//   F16, BF16: 4 loads, load j has e = 0..7
//   bytes:     2 loads of 4 words; word 2 j + h has q = 0, 2, 1, 3 from the lowest byte
//   nibbles:   1 load; word j has e = 0, 2, 4, 6, 1, 3, 5, 7 from the lowest nibble
// Codes of GGUF's blocks lie in planes (see PanelFormat): bytes, nibbles as above, then pairs (8 bytes a lane, two bits
// of code 8 j + e at bit 2 (8 j + e)) and bits (4 bytes a lane). Behind the codes of a chunk lie its factors, in the order
// [r][j] and what follows:
//   NVFP4: E4M3 [h]      MXFP4: E8M0      Q2_K: as packed [h]      Q3_K, Q6_K: i8 [h]      Q4_K, Q5_K: u8 scale, u8 min
// Heads, one for each `head_chunks` chunks of a panel, are [r][j]: f32 scale (F8_E4M3 in blocks), or f16 scale with its
// f16 minimum, or its zero as an f16, where there is one.
// A gate-up pair of one format is interleaved: tiles 0, 1 of panel p are gate's rows 16 p.., tiles 2, 3 up's.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/packed_weight.h"

namespace braid {

inline constexpr int kCudaPanelRows = 32;
inline constexpr int kCudaChunk = 32;

// Which kernel widens a set; block formats of GGUF share one.
enum class CudaKind : uint8_t { kF32, kF16, kBF16, kFp8, kFp4, kBlocks };

// How a chunk of GGUF's blocks lies, and what its codes mean.
struct CudaBlockLayout {
  uint8_t bytes = 0, nibbles = 0, pairs = 0, bits = 0;  // whether there is such a plane
  uint8_t zero = 0;
  uint8_t iq4 = 0;                                      // codes index kIq4Values
  enum Factors : uint8_t { kNone, kScaleMin, kSigned16, kPacked16 } factors = kNone;
  int8_t min_sign = 0;                                  // 0: no minimum
  uint8_t own_zero = 0;                                 // the minimum is a zero: it counts in scales
  bool operator==(const CudaBlockLayout&) const = default;
};

// Rows of a weight that share a format. Plain data: kernels take it by value. Offsets are in bytes from the weight's base.
struct CudaWeightSet {
  CudaKind kind = CudaKind::kF32;
  bool pair = false;            // gate and up, interleaved; rows counts both
  bool mxfp4 = false;           // kFp4's scales are E8M0 for each 32
  CudaBlockLayout blocks;
  int32_t first_row = 0;        // of the weight's rows
  int32_t rows = 0;
  int32_t cols = 0;
  int32_t panels = 0;
  int32_t chunks = 0;
  int32_t chunk_bytes = 0;
  int32_t head_chunks = 0;      // chunks behind a head; 0: no heads
  int32_t head_bytes = 0;
  int32_t num_heads = 0;        // of a panel: ceil(chunks / head_chunks)
  int64_t codes_offset = 0;     // [panels][chunks][chunk_bytes]
  int64_t heads_offset = 0;     // [panels][num_heads][head_bytes]
  int64_t row_scales_offset = -1;  // f32 [panels * 32], multiply the products; -1: none
  bool operator==(const CudaWeightSet&) const = default;
};

class CudaPackedWeight final : public PackedWeight {
 public:
  static absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source);
  static const CudaPackedWeight& Of(const PackedWeight* weight) {
    return static_cast<const CudaPackedWeight&>(*weight);
  }

  // Plans the layout of `source`, whose checks have passed, and returns its bytes: what Pack uploads.
  static std::vector<CudaWeightSet> PlanSets(const WeightSource& source, int64_t* bytes);
  static void Fill(const WeightSource& source, const std::vector<CudaWeightSet>& sets, std::byte* out);

  const std::vector<CudaWeightSet>& sets() const { return sets_; }
  const std::byte* base() const { return memory_.data(); }  // device memory
  const int32_t* order() const {  // input_order() in device memory; null: none
    return input_order().empty() ? nullptr : reinterpret_cast<const int32_t*>(memory_.data() + order_offset_);
  }
  int64_t bytes() const override { return bytes_; }

 private:
  explicit CudaPackedWeight(const WeightSource& source);
  std::vector<CudaWeightSet> sets_;
  Bytes memory_;
  int64_t bytes_ = 0, order_offset_ = 0;
};

}  // namespace braid
