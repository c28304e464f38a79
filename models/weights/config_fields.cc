#include "models/weights/config_fields.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "models/weights/checked_size.h"

namespace braid {
namespace {

// The 64-bit integer in `value`, if it is one.
std::optional<int64_t> IntegerIn(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()}) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

}  // namespace

std::optional<double> NumberIn(const Json& value) {
  const Json* inner = &value;
  if (value.is_object() && value.size() == 1 && value.contains("__float__")) inner = &value["__float__"];
  if (inner->is_number()) return inner->get<double>();
  if (*inner == "Infinity" || *inner == "inf") return std::numeric_limits<double>::infinity();
  if (*inner == "-Infinity" || *inner == "-inf") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

ConfigFields::ConfigFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
  CHECK(object.is_object()) << where_;
}

std::string_view ConfigFields::Spelling(Names names) const {
  for (std::string_view name : names) {
    const auto found = object_.find(std::string(name));
    if (found != object_.end() && !found->is_null()) return name;
  }
  return *names.begin();
}

const Json* ConfigFields::Find(Names names) {
  Ignore(names);
  const auto found = object_.find(std::string(Spelling(names)));
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void ConfigFields::Ignore(Names names) {
  for (std::string_view name : names) asked_.emplace(name);
}

std::optional<int64_t> ConfigFields::OptionalInt(Names names, int64_t min, int64_t max) {
  const Json* value = Find(names);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = IntegerIn(*value);
  if (number.has_value() && *number >= min && *number <= max) return number;
  Fail(Spelling(names), absl::StrCat(Shown(*value), " is no integer in ", min, "..", max));
  return min;
}

int64_t ConfigFields::IntOr(Names names, int64_t missing, int64_t min, int64_t max) {
  return OptionalInt(names, min, max).value_or(missing);
}

int64_t ConfigFields::Int(Names names, int64_t min, int64_t max) {
  const std::optional<int64_t> number = OptionalInt(names, min, max);
  if (!number.has_value()) Fail(*names.begin(), absl::StrCat("is missing, want an integer in ", min, "..", max));
  return number.value_or(min);
}

double ConfigFields::FloatOr(Names names, double missing, double min, double max) {
  const Json* value = Find(names);
  if (value == nullptr) return missing;
  if (value->is_number() && value->get<double>() >= min && value->get<double>() <= max) return value->get<double>();
  Fail(Spelling(names), absl::StrCat(Shown(*value), " is no number in ", min, "..", max));
  return missing;
}

bool ConfigFields::BoolOr(Names names, bool missing) {
  const Json* value = Find(names);
  if (value == nullptr) return missing;
  if (value->is_boolean()) return value->get<bool>();
  Fail(Spelling(names), absl::StrCat(Shown(*value), " is neither true nor false"));
  return missing;
}

std::string ConfigFields::TextOr(Names names, std::string_view missing) {
  const Json* value = Find(names);
  if (value == nullptr) return std::string(missing);
  if (value->is_string()) return value->get<std::string>();
  Fail(Spelling(names), absl::StrCat(Shown(*value), " is no string"));
  return std::string(missing);
}

void ConfigFields::Fail(std::string_view field, std::string_view what) {
  if (status_.ok())
    status_ = absl::InvalidArgumentError(absl::StrCat(where_, ": ", std::string(field), ": ", std::string(what)));
}

void ConfigFields::Unsupported(std::string_view field, std::string_view what) {
  if (status_.ok())
    status_ = absl::UnimplementedError(absl::StrCat(where_, ": ", std::string(field), ": ", std::string(what)));
}

void ConfigFields::Adopt(absl::Status error) {
  if (status_.ok()) status_ = std::move(error);
}

std::vector<std::string> ConfigFields::Unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) {
    if (!asked_.contains(name)) names.push_back(Printable(name));
  }
  return names;
}

}  // namespace braid
