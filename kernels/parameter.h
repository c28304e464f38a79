// Values of f32 that operations read, in the memory of the backend that runs them. A backend's own from when it is made.
#pragma once

#include <span>

#include "kernels/backend.h"

namespace braid {

class Parameter {
 public:
  Parameter() = default;

  // Copies `values` to memory of `backend`; ResourceExhausted when it has none left.
  static absl::StatusOr<Parameter> Make(Backend& backend, std::span<const float> values) {
    Parameter parameter;
    ASSIGN_OR_RETURN(parameter.memory_, backend.Allocate(values.size_bytes()));
    parameter.size_ = values.size();
    if (!values.empty()) backend.Upload(values.data(), parameter.memory_.data(), values.size_bytes());
    return parameter;
  }

  bool empty() const { return size_ == 0; }
  // Memory of the backend; null when empty.
  const float* data() const { return memory_.as<const float>(); }
  std::span<const float> span() const { return {data(), size_}; }

 private:
  Bytes memory_;
  size_t size_ = 0;
};

}  // namespace braid
