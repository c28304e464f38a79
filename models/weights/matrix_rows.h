// A stored matrix in parts, in another order, or turned.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "models/weights/axis.h"
#include "models/weights/stored_matrix.h"

namespace braid {

// A matrix with its own bytes, or with those it was made of. Moving it keeps the part valid; it is not to be copied.
struct OwnedMatrix {
  OwnedMatrix() = default;
  OwnedMatrix(OwnedMatrix&&) = default;
  OwnedMatrix& operator=(OwnedMatrix&&) = default;

  WeightPart part = {};
  std::vector<std::byte> codes, scales;
};

// Returns what `rows` and `cols` keep of `from`; columns are one run. Bytes are copied unless they already lie so.
// InvalidArgument where a column border would cut a block of the format or of its scales.
absl::StatusOr<OwnedMatrix> Cut(const WeightPart& from, const Axis& rows, const Axis& cols);

// Returns `from` [cols, rows] as [rows, cols]. Unimplemented but for F32, F16 and BF16.
absl::StatusOr<OwnedMatrix> Transposed(const WeightPart& from);

}  // namespace braid
