// A weight as the definition wants it: f32 [out, in], row-major.
#pragma once

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/packed_weight.h"

namespace braid {

class RefPackedWeight final : public PackedWeight {
 public:
  static absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source);
  static const RefPackedWeight& Of(const PackedWeight* weight) { return static_cast<const RefPackedWeight&>(*weight); }

  const float* row(int64_t i) const { return values_.data() + i * cols(); }
  int64_t bytes() const override { return static_cast<int64_t>(values_.size() * sizeof(float)); }

 private:
  RefPackedWeight(int64_t rows, int64_t cols) : PackedWeight(rows, cols), values_(rows * cols) {}
  std::vector<float> values_;
};

}  // namespace braid
