// The members of a request's JSON object, read with type and range checks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "kernels/base/json.h"

namespace braid {

// Reads fields one by one and keeps the first error, so that a request's table of fields stays a table.
// A null is an absent field. Thread: one at a time.
class RequestFields {
 public:
  // Borrows `body`, which must be an object; anything else is the first error.
  explicit RequestFields(const Json& body);

  const absl::Status& status() const { return status_; }
  void Fail(std::string_view field, std::string_view message);
  void Fail(absl::Status status) {
    if (status_.ok()) status_ = std::move(status);
  }

  // The member `field`; null when it is absent or null.
  const Json* Find(std::string_view field) const;
  bool Has(std::string_view field) const { return Find(field) != nullptr; }

  bool Bool(std::string_view field, bool absent);
  std::optional<int64_t> Int(std::string_view field, int64_t least, int64_t most);
  std::optional<double> Number(std::string_view field, double least, double most);
  std::optional<std::string> String(std::string_view field);
  // A list of ids in [0, vocab_size).
  std::vector<int32_t> TokenIds(std::string_view field, size_t max_count, int vocab_size);
  const Json* Object(std::string_view field);
  const Json* Array(std::string_view field, size_t max_count);

 private:
  absl::Status status_;
  const Json& body_;
};

// Reads a list of token ids; `field` is for the error.
absl::StatusOr<std::vector<int32_t>> ReadTokenIds(std::string_view field, const Json& list, int vocab_size);

}  // namespace braid
