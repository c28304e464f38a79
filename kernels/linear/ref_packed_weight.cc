#include "kernels/linear/ref_packed_weight.h"

#include "kernels/base/errors.h"
#include "kernels/linear/weight_source.h"

namespace braid {
namespace {

// Puts column k where its input is.
void PutBack(const std::vector<int32_t>& input_order, float* row) {
  const std::vector<float> ordered(row, row + input_order.size());
  for (size_t k = 0; k < ordered.size(); ++k) row[input_order[k]] = ordered[k];
}

}  // namespace

absl::StatusOr<std::unique_ptr<PackedWeight>> RefPackedWeight::Pack(const WeightSource& source) {
  RETURN_IF_ERROR(CheckSource(source));
  std::unique_ptr<RefPackedWeight> packed(new RefPackedWeight(TotalRows(source), source.parts[0].cols));
  float* out = packed->values_.data();
  for (const WeightPart& part : source.parts) {
    for (int64_t row = 0; row < part.rows; ++row, out += part.cols) {
      DequantizeRow(part, row, out);
      if (!source.input_order.empty()) PutBack(source.input_order, out);
    }
  }
  return packed;
}

}  // namespace braid
