#include "server/openai/request_fields.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/status_mapping.h"

namespace braid {
namespace {

absl::string_view Words(std::string_view text) { return {text.data(), text.size()}; }

// An integer of JSON: no fraction, no boolean, 64 bits.
std::optional<int64_t> Integer(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  return value.get<int64_t>();
}

}  // namespace

RequestFields::RequestFields(const Json& body) : body_(body) {
  if (!body.is_object()) status_ = absl::InvalidArgumentError(absl::StrCat("the body must be a JSON object, not ", Shown(body)));
}

void RequestFields::Fail(std::string_view field, std::string_view message) {
  if (status_.ok()) status_ = InvalidParam(field, absl::StrCat(Words(field), ": ", Words(message)));
}

const Json* RequestFields::Find(std::string_view field) const {
  if (!body_.is_object()) return nullptr;
  const auto found = body_.find(std::string(field));
  return found == body_.end() || found->is_null() ? nullptr : &*found;
}

bool RequestFields::Bool(std::string_view field, bool absent) {
  const Json* value = Find(field);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) {
    Fail(field, absl::StrCat("must be true or false, not ", Shown(*value)));
    return absent;
  }
  return value->get<bool>();
}

std::optional<int64_t> RequestFields::Int(std::string_view field, int64_t least, int64_t most) {
  const Json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  const std::optional<int64_t> number = Integer(*value);
  if (!number.has_value()) {
    Fail(field, absl::StrCat("must be an integer, not ", Shown(*value)));
  } else if (*number < least || *number > most) {
    Fail(field, most == std::numeric_limits<int64_t>::max() || most == std::numeric_limits<int32_t>::max()
                    ? absl::StrCat("must be at least ", least, ", not ", *number)
                    : absl::StrCat("must be ", least, " to ", most, ", not ", *number));
  } else {
    return number;
  }
  return std::nullopt;
}

std::optional<double> RequestFields::Number(std::string_view field, double least, double most) {
  const Json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    Fail(field, absl::StrCat("must be a number, not ", Shown(*value)));
    return std::nullopt;
  }
  const double number = value->get<double>();
  if (!(number >= least && number <= most)) {
    Fail(field, absl::StrCat("must be ", least, " to ", most, ", not ", Shown(*value)));
    return std::nullopt;
  }
  return number;
}

std::optional<std::string> RequestFields::String(std::string_view field) {
  const Json* value = Find(field);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    Fail(field, absl::StrCat("must be a string, not ", Shown(*value)));
    return std::nullopt;
  }
  return value->get<std::string>();
}

std::vector<int32_t> RequestFields::TokenIds(std::string_view field, size_t max_count, int vocab_size) {
  const Json* list = Array(field, max_count);
  if (list == nullptr) return {};
  auto ids = ReadTokenIds(field, *list, vocab_size);
  if (ids.ok()) return *std::move(ids);
  Fail(ids.status());
  return {};
}

const Json* RequestFields::Object(std::string_view field) {
  const Json* value = Find(field);
  if (value == nullptr || value->is_object()) return value;
  Fail(field, absl::StrCat("must be an object, not ", Shown(*value)));
  return nullptr;
}

const Json* RequestFields::Array(std::string_view field, size_t max_count) {
  const Json* value = Find(field);
  if (value == nullptr) return nullptr;
  if (!value->is_array()) {
    Fail(field, absl::StrCat("must be a list, not ", Shown(*value)));
    return nullptr;
  }
  if (value->size() > max_count) {
    Fail(field, absl::StrCat("holds ", value->size(), " entries; at most ", max_count, " are allowed"));
    return nullptr;
  }
  return value;
}

absl::StatusOr<std::vector<int32_t>> ReadTokenIds(std::string_view field, const Json& list, int vocab_size) {
  std::vector<int32_t> ids;
  ids.reserve(list.size());
  for (size_t i = 0; i < list.size(); ++i) {
    const std::optional<int64_t> id = Integer(list[i]);
    if (!id.has_value() || *id < 0 || *id >= vocab_size) {
      return InvalidParam(field, absl::StrCat(Words(field), "[", i, "]: must be a token id of 0 to ", vocab_size - 1, ", not ", Shown(list[i])));
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

}  // namespace braid
