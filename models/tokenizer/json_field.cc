#include "models/tokenizer/json_field.h"

#include "kernels/base/errors.h"

namespace braid {
namespace {

const Json& NullJson() {
  static const Json* const kNull = new Json();
  return *kNull;
}

constexpr size_t kMaxShown = 60;

}  // namespace

JsonField JsonField::Member(std::string_view name) const {
  std::string path = path_.empty() ? std::string(name) : absl::StrCat(path_, ".", std::string(name));
  if (value_->is_object()) {
    for (const auto& [key, value] : value_->get_ref<const Json::object_t&>()) {
      if (key == name) return {value, std::move(path)};
    }
  }
  return {NullJson(), std::move(path)};
}

JsonField JsonField::Element(size_t index) const { return {(*value_)[index], absl::StrCat(path_, "[", index, "]")}; }

absl::Status JsonField::Wrong(const std::string& what_would_be_right) const {
  std::string shown = value_->is_structured() ? value_->type_name() : WriteJson(*value_);
  if (shown.size() > kMaxShown) shown = shown.substr(0, kMaxShown) + "...";
  return absl::InvalidArgumentError(
      absl::StrCat(path_.empty() ? "document" : path_, " is ", shown, "; it must be ", what_would_be_right));
}

absl::StatusOr<std::string> JsonField::String() const {
  if (!value_->is_string()) return Wrong("a string");
  return value_->get_ref<const std::string&>();
}

absl::StatusOr<std::string> JsonField::StringOr(std::string_view otherwise) const {
  if (is_null()) return std::string(otherwise);
  return String();
}

absl::StatusOr<bool> JsonField::BoolOr(bool otherwise) const {
  if (is_null()) return otherwise;
  if (!value_->is_boolean()) return Wrong("true or false");
  return value_->get<bool>();
}

absl::StatusOr<int64_t> JsonField::Integer() const {
  if (!value_->is_number_integer()) return Wrong("an integer");
  if (value_->is_number_unsigned() && value_->get<uint64_t>() > INT64_MAX) return Wrong("an integer below 2^63");
  return value_->get<int64_t>();
}

absl::StatusOr<int64_t> JsonField::IntegerOr(int64_t otherwise) const {
  if (is_null()) return otherwise;
  return Integer();
}

absl::StatusOr<double> JsonField::Number() const {
  if (!value_->is_number()) return Wrong("a number");
  return value_->get<double>();
}

absl::Status JsonField::CheckObject() const { return value_->is_object() ? absl::OkStatus() : Wrong("an object"); }

absl::StatusOr<size_t> JsonField::ArraySize() const {
  if (is_null()) return size_t{0};
  if (!value_->is_array()) return Wrong("an array");
  return value_->size();
}

}  // namespace braid
