// Stored matrices whose rows lie otherwise than kernels want them: in another order, or turned.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "models/weights/stored_matrix.h"

namespace braid {

// A matrix with its own bytes. Moving it keeps the part valid; it is not to be copied.
struct OwnedMatrix {
  OwnedMatrix() = default;
  OwnedMatrix(OwnedMatrix&&) = default;
  OwnedMatrix& operator=(OwnedMatrix&&) = default;

  WeightPart part = {};
  std::vector<std::byte> codes, scales;
};

// Returns rows `rows` of `from`, in that order. Unimplemented where several rows share a scale.
absl::StatusOr<OwnedMatrix> TakeRows(const WeightPart& from, std::span<const int64_t> rows);

// Returns `from` [cols, rows] as [rows, cols]. Unimplemented but for F32, F16 and BF16.
absl::StatusOr<OwnedMatrix> Transposed(const WeightPart& from);

}  // namespace braid
