// A part of a structural tag's description: its value, where it stands, and how its members are read.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"

namespace braid {

using Texts = std::vector<std::string>;

inline constexpr int64_t kMaxTagRepeats = 1 << 16;  // of one place, counts multiplied

// Borrows the value. Errors name the path.
struct TagPart {
  const Json& json;
  std::string path;

  absl::Status Wrong(std::string_view wanted) const {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", std::string(wanted), ", not ", Shown(json)));
  }
  // Null members count as absent.
  const Json* Find(const std::string& name) const {
    const auto found = json.find(name);
    return found == json.end() || found->is_null() ? nullptr : &*found;
  }
  TagPart Member(const std::string& name) const {
    static const Json* const kAbsent = new Json();
    const Json* const found = Find(name);
    return {found == nullptr ? *kAbsent : *found, absl::StrCat(path, ".", name)};
  }
  TagPart Item(size_t i) const { return {json[i], absl::StrCat(path, "[", i, "]")}; }
};

inline absl::StatusOr<std::string> TextOf(const TagPart& part) {
  if (!part.json.is_string()) return part.Wrong("must be a string");
  return part.json.get<std::string>();
}

inline absl::StatusOr<std::string> SomeTextOf(const TagPart& part) {
  ASSIGN_OR_RETURN(std::string text, TextOf(part));
  if (text.empty()) return part.Wrong("must be a string that is not empty");
  return text;
}

// Texts that are not empty; absent counts as none.
inline absl::StatusOr<Texts> TextsOf(const TagPart& part) {
  Texts texts;
  if (part.json.is_null()) return texts;
  if (!part.json.is_array()) return part.Wrong("must be a list of strings");
  for (size_t i = 0; i < part.json.size(); ++i) {
    ASSIGN_OR_RETURN(std::string text, SomeTextOf(part.Item(i)));
    texts.push_back(std::move(text));
  }
  return texts;
}

inline absl::StatusOr<bool> FlagOf(const TagPart& part, bool absent) {
  if (part.json.is_null()) return absent;
  if (!part.json.is_boolean()) return part.Wrong("must be true or false");
  return part.json.get<bool>();
}

inline absl::StatusOr<int> CountOf(const TagPart& part, int least) {
  const bool fits = part.json.is_number_integer() && part.json.get<double>() >= least && part.json.get<double>() <= kMaxTagRepeats;
  if (!fits) return part.Wrong(absl::StrCat("must be a whole number from ", least, " to ", kMaxTagRepeats));
  return part.json.get<int>();
}

inline absl::StatusOr<TagPart> ListOf(const TagPart& part) {
  if (!part.json.is_array() || part.json.empty()) return part.Wrong("must be a list that is not empty");
  return TagPart{part.json, part.path};
}

// `status`, which knows the place within a source, with the source's own place in front.
inline absl::Status At(const TagPart& part, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(part.path, ": ", std::string(status.message())));
}

}  // namespace braid
