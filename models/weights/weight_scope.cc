#include "models/weights/weight_scope.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace braid {

WeightScope::WeightScope(const Checkpoint& checkpoint, std::string prefix)
    : WeightScope(&checkpoint, std::move(prefix), std::make_shared<absl::Status>()) {}

WeightScope WeightScope::Child(std::string_view name) const {
  return WeightScope(checkpoint_, absl::StrCat(prefix_, std::string(name)), error_);
}

StoredTensor WeightScope::Require(std::string_view name, const Shape& shape) const {
  std::optional<StoredTensor> tensor = Optional(name, shape);
  if (tensor.has_value()) return *std::move(tensor);
  Fail(absl::NotFoundError(absl::StrCat(checkpoint_->path(), ": ", prefix_, std::string(name),
                                        ": is missing, want shape ", ShapeString(shape))));
  return StoredTensor{.shape = shape};
}

std::optional<StoredTensor> WeightScope::Optional(std::string_view name, const Shape& shape) const {
  const StoredTensor* tensor = checkpoint_->Find(absl::StrCat(prefix_, std::string(name)));
  if (tensor == nullptr) return std::nullopt;
  if (tensor->shape == shape) return *tensor;
  Fail(absl::InvalidArgumentError(absl::StrCat(checkpoint_->path(), ": ", prefix_, std::string(name), ": has shape ",
                                               ShapeString(tensor->shape), ", want ", ShapeString(shape))));
  return StoredTensor{.shape = shape};
}

bool WeightScope::Has(std::string_view name) const {
  return checkpoint_->Contains(absl::StrCat(prefix_, std::string(name)));
}

const StoredTensor* WeightScope::Find(std::string_view name) const {
  return checkpoint_->Find(absl::StrCat(prefix_, std::string(name)));
}

void WeightScope::Fail(absl::Status error) const {
  if (error_->ok()) *error_ = std::move(error);
}

}  // namespace braid
