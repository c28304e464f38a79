// The fields of one JSON object, each asked for once by name, type and range; the first error is kept.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "kernels/base/json.h"

namespace braid {

// Reading goes on after an error with the field's default or smallest value, so that a list of fields stays a list:
// ask status() at its end. A field may have several spellings; the first that is there and not null counts.
// Thread: one; the object must outlive it.
class ConfigFields {
 public:
  using Names = std::initializer_list<std::string_view>;

  // `object` must be a JSON object; `where` stands before each message: "folder/config.json".
  ConfigFields(const Json& object, std::string where);

  int64_t Int(Names names, int64_t min, int64_t max);
  int64_t IntOr(Names names, int64_t missing, int64_t min, int64_t max);
  std::optional<int64_t> OptionalInt(Names names, int64_t min, int64_t max);
  double FloatOr(Names names, double missing, double min, double max);
  bool BoolOr(Names names, bool missing);
  std::string TextOr(Names names, std::string_view missing);

  // Returns the value, or null when it is missing or null.
  const Json* Find(Names names);
  // Says that these are known and need no reading.
  void Ignore(Names names);

  // Records "<where>: <field>: <what>" unless there is an error already.
  void Fail(std::string_view field, std::string_view what);
  void Unsupported(std::string_view field, std::string_view what);
  // Records `error` of an object within this one.
  void Adopt(absl::Status error);

  absl::Status status() const { return status_; }
  const std::string& where() const { return where_; }
  // Names of the object's members nobody has asked for, in its order.
  std::vector<std::string> Unknown() const;

 private:
  std::string_view Spelling(Names names) const;  // the one that is there, else the first

  const Json& object_;
  const std::string where_;
  std::set<std::string, std::less<>> asked_;
  absl::Status status_;
};

// The finite or infinite number in `value`: a number, "Infinity", "-Infinity", or {"__float__": one of them}.
std::optional<double> NumberIn(const Json& value);

}  // namespace braid
