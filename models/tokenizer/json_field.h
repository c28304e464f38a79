// Typed reading of JSON members, with errors that name the field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// One JSON value and where it stands ("pre_tokenizer.pretokenizers[0]"). Borrows the document.
class JsonField {
 public:
  JsonField(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}

  const Json& value() const { return *value_; }
  const std::string& path() const { return path_; }
  bool is_null() const { return value_->is_null(); }

  // The member `name`; a null when it is not there or this is no object.
  JsonField Member(std::string_view name) const;
  JsonField Element(size_t index) const;

  absl::StatusOr<std::string> String() const;
  absl::StatusOr<std::string> StringOr(std::string_view otherwise) const;  // when null
  absl::StatusOr<bool> BoolOr(bool otherwise) const;
  absl::StatusOr<int64_t> Integer() const;
  absl::StatusOr<int64_t> IntegerOr(int64_t otherwise) const;
  absl::StatusOr<double> Number() const;
  absl::Status CheckObject() const;
  // Null counts as an empty array.
  absl::StatusOr<size_t> ArraySize() const;

  absl::Status Wrong(const std::string& what_would_be_right) const;

 private:
  const Json* value_;
  std::string path_;
};

}  // namespace braid
