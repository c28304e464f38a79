// Names and shapes of a weight table: written as a plain list, checked once at its end.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "models/weights/checkpoint.h"

namespace braid {

// A prefix into a checkpoint. Keeps the first error of itself, its parent and all its children.
// Thread: one per family of scopes; the checkpoint must outlive them.
class WeightScope {
 public:
  explicit WeightScope(const Checkpoint& checkpoint, std::string prefix = "");

  // The scope of prefix + `name` ("layers.0."), sharing the error.
  WeightScope Child(std::string_view name) const;

  // Returns the tensor prefix + `name`. A missing one or another shape is recorded as the error, and the answer then
  // has `shape` and no bytes.
  StoredTensor Require(std::string_view name, const Shape& shape) const;

  // As Require, but a missing tensor is no error and nullopt.
  std::optional<StoredTensor> Optional(std::string_view name, const Shape& shape) const;

  bool Has(std::string_view name) const;

  // Returns the tensor prefix + `name` of any shape, or null; marks it as read.
  const StoredTensor* Find(std::string_view name) const;

  // Records `error` unless there is one already.
  void Fail(absl::Status error) const;

  absl::Status status() const { return *error_; }
  const std::string& prefix() const { return prefix_; }
  const Checkpoint& checkpoint() const { return *checkpoint_; }

 private:
  WeightScope(const Checkpoint* checkpoint, std::string prefix, std::shared_ptr<absl::Status> error)
      : checkpoint_(checkpoint), prefix_(std::move(prefix)), error_(std::move(error)) {}

  const Checkpoint* checkpoint_;
  std::string prefix_;
  std::shared_ptr<absl::Status> error_;  // shared by all scopes that come from one root
};

}  // namespace braid
