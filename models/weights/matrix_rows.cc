#include "models/weights/matrix_rows.h"

#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"

namespace braid {
namespace {

std::vector<std::byte> Gather(std::span<const std::byte> from, int64_t num_rows, std::span<const int64_t> rows) {
  if (from.empty()) return {};  // a matrix without scales
  const size_t row_bytes = from.size() / static_cast<size_t>(num_rows);
  std::vector<std::byte> to(row_bytes * rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    CHECK(rows[i] >= 0 && rows[i] < num_rows) << rows[i];
    std::memcpy(to.data() + i * row_bytes, from.data() + static_cast<size_t>(rows[i]) * row_bytes, row_bytes);
  }
  return to;
}

}  // namespace

absl::StatusOr<OwnedMatrix> TakeRows(const WeightPart& from, std::span<const int64_t> rows) {
  if (from.scales.block_rows > 1) {
    return absl::UnimplementedError(absl::StrCat("has a scale for each ", from.scales.block_rows,
                                                 " rows, which do not stay together here"));
  }
  OwnedMatrix to;
  to.codes = Gather(from.bytes, from.rows, rows);
  to.scales = Gather(from.scales.bytes, from.rows, rows);
  to.part = from;
  to.part.rows = static_cast<int64_t>(rows.size());
  to.part.bytes = to.codes;
  to.part.scales.bytes = to.scales;
  return to;
}

absl::StatusOr<OwnedMatrix> Transposed(const WeightPart& from) {
  const bool plain = from.dtype == DType::kF32 || from.dtype == DType::kF16 || from.dtype == DType::kBF16;
  if (!plain) {
    return absl::UnimplementedError(absl::StrCat("has type ", DTypeName(from.dtype), ", want F32, F16 or BF16"));
  }
  OwnedMatrix to;
  const size_t size = static_cast<size_t>(DTypeBytes(from.dtype, 1)), rows = static_cast<size_t>(from.rows);
  const size_t cols = static_cast<size_t>(from.cols);
  to.codes.resize(from.bytes.size());
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < cols; ++j) {
      std::memcpy(to.codes.data() + (j * rows + i) * size, from.bytes.data() + (i * cols + j) * size, size);
    }
  }
  to.part = {from.dtype, from.cols, from.rows, to.codes};
  return to;
}

}  // namespace braid
