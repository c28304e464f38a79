#include "models/weights/matrix_rows.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "models/weights/checked_size.h"

namespace braid {
namespace {

// A table of whole bytes: `bytes` a row.
struct ByteRows {
  std::span<const std::byte> all;
  int64_t bytes;
  const std::byte* row(int64_t i) const { return all.data() + i * bytes; }
};

// Bytes [begin, begin + count) of row row_of(i), for each kept i.
template <class RowOf>
std::vector<std::byte> Gather(const ByteRows& from, const Axis& rows, int64_t begin, int64_t count, const RowOf& row_of) {
  std::vector<std::byte> to;
  to.reserve(static_cast<size_t>(rows.kept() * count));
  for (const Axis::Run& run : rows.runs()) {
    for (int64_t i = run.begin; i < run.end; ++i) {
      const std::byte* const first = from.row(row_of(i)) + begin;
      to.insert(to.end(), first, first + count);
    }
  }
  return to;
}

// Columns that share a scale or a block: a border lies at a multiple of it, or at the end.
int64_t ColumnUnit(const WeightPart& part) {
  const int64_t block = BlockOf(part.dtype).elements;
  const bool by_columns = part.scales.block_rows > 0 && part.scales.block_cols < part.cols;
  return by_columns ? std::max(block, part.scales.block_cols) : block;
}

absl::Status CheckBorders(const WeightPart& from, const Axis& cols) {
  CHECK(cols.runs().size() == 1 && cols.stored() == from.cols) << cols.stored() << " " << from.cols;
  const int64_t unit = ColumnUnit(from);
  for (const int64_t border : {cols.runs()[0].begin, cols.runs()[0].end}) {
    if (border % unit == 0 || border == from.cols) continue;
    return absl::InvalidArgumentError(absl::StrCat("--tensor-parallel: a border at column ", border, " of ", from.cols,
                                                   " would cut a block of ", unit, " columns of ", DTypeName(from.dtype)));
  }
  return absl::OkStatus();
}

// Rows that shared a scale have one each afterwards, unless all rows are kept.
void CutScales(const WeightPart& from, const Axis& rows, const Axis& cols, OwnedMatrix* to) {
  const WeightScales& scales = from.scales;
  const Axis::Run& run = cols.runs()[0];
  const int64_t width = DTypeBytes(scales.dtype, 1), in_row = CeilDiv(from.cols, scales.block_cols);
  const ByteRows table = {scales.bytes, in_row * width};
  const bool by_columns = scales.block_cols < from.cols;
  const int64_t first = by_columns ? run.begin / scales.block_cols : 0;
  const int64_t end = by_columns ? CeilDiv(run.end, scales.block_cols) : in_row;
  if (!by_columns) to->part.scales.block_cols = std::max<int64_t>(1, run.size());
  if (rows.is_whole()) {
    const Axis table_rows = Whole(CeilDiv(from.rows, scales.block_rows));
    to->scales = Gather(table, table_rows, first * width, (end - first) * width, [](int64_t i) { return i; });
  } else {
    to->part.scales.block_rows = 1;
    to->scales = Gather(table, rows, first * width, (end - first) * width, [&](int64_t i) { return i / scales.block_rows; });
  }
  to->part.scales.bytes = to->scales;
}

}  // namespace

absl::StatusOr<OwnedMatrix> Cut(const WeightPart& from, const Axis& rows, const Axis& cols) {
  CHECK_EQ(rows.stored(), from.rows);
  RETURN_IF_ERROR(CheckBorders(from, cols));
  OwnedMatrix to;
  to.part = from;
  if (rows.is_whole() && cols.is_whole()) return to;
  const Axis::Run& run = cols.runs()[0];
  const ByteRows codes = {from.bytes, DTypeBytes(from.dtype, from.cols)};
  const int64_t begin = DTypeBytes(from.dtype, run.begin), count = DTypeBytes(from.dtype, run.size());
  if (cols.is_whole() && rows.runs().size() == 1) {
    to.part.bytes = from.bytes.subspan(static_cast<size_t>(rows.runs()[0].begin * codes.bytes),
                                       static_cast<size_t>(rows.kept() * codes.bytes));
  } else {
    to.codes = Gather(codes, rows, begin, count, [](int64_t i) { return i; });
    to.part.bytes = to.codes;
  }
  to.part.rows = rows.kept();
  to.part.cols = cols.kept();
  if (from.scales.block_rows > 0) CutScales(from, rows, cols, &to);
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
