#include "kernels/linear/ref_packed_weight.h"

#include "kernels/base/errors.h"
#include "kernels/linear/weight_source.h"

namespace braid {

absl::StatusOr<std::unique_ptr<PackedWeight>> RefPackedWeight::Pack(const WeightSource& source) {
  RETURN_IF_ERROR(CheckSource(source));
  std::unique_ptr<RefPackedWeight> packed(new RefPackedWeight(TotalRows(source), source.parts[0].cols));
  float* out = packed->values_.data();
  for (const WeightPart& part : source.parts) {
    for (int64_t row = 0; row < part.rows; ++row, out += part.cols) DequantizeRow(part, row, out);
  }
  return packed;
}

}  // namespace braid
