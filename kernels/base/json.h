// Strict JSON: UTF-8, no NaN, one document and nothing after it, bounded in depth, members and digits.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace braid {

// Objects keep the order of their members (chat templates print them in it).
using Json = nlohmann::ordered_json;

struct JsonLimits {
  int max_depth = 64;
  size_t max_members = 20'000;  // of all objects of the document together
  size_t max_number_digits = 64;
  bool allow_bare_infinity = false;  // config.json of some checkpoints holds Infinity and NaN, which no JSON may
};

// Returns the document in `text`, or InvalidArgument with the byte offset and what is wrong there.
// Duplicate member names are an error. Never recurses on the input.
absl::StatusOr<Json> ParseJson(std::string_view text, const JsonLimits& limits = {});

// Writes `value` on one line; ill-formed UTF-8 in strings becomes U+FFFD.
std::string WriteJson(const Json& value);

// `value` as an error message shows it: on one line, cut to 80 bytes; lists and objects by their kind only.
std::string Shown(const Json& value);

}  // namespace braid
