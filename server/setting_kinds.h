// Kinds of settings that groups in several files share: each makes a Setting out of the place where its value goes.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/errors.h"
#include "server/config.h"
#include "server/setting.h"

namespace braid {

inline absl::Status Refuse(const std::string& value, const std::string& accepted) {
  return absl::InvalidArgumentError(absl::StrCat("'", value, "' is not accepted; accepted: ", accepted));
}

template <class Field>  // Field: Config& -> int& or int64_t&
Setting Number(std::string name, std::string group, Field field, int64_t low, int64_t high, std::string meaning,
               std::string zero = "") {
  const std::string accepted = absl::StrCat(low, "..", high);
  Config standard;
  std::string standard_text = absl::StrCat(field(standard));
  if (field(standard) == 0 && !zero.empty()) standard_text = zero;
  return {std::move(name), std::move(group), accepted, standard_text, std::move(meaning), false,
          [=](Config& config, const std::vector<std::string>& values) {
            int64_t number;
            if (!absl::SimpleAtoi(values.back(), &number) || number < low || number > high) {
              return Refuse(values.back(), accepted);
            }
            field(config) = static_cast<std::decay_t<decltype(field(config))>>(number);
            return absl::OkStatus();
          }};
}

template <class Field>  // Field: Config& -> double&
Setting Decimal(std::string name, std::string group, Field field, double high, const char* unit, std::string meaning) {
  const std::string accepted = absl::StrCat("0..", high, unit);
  Config standard;
  return {std::move(name), std::move(group), accepted, absl::StrCat(field(standard)), std::move(meaning), false,
          [=](Config& config, const std::vector<std::string>& values) {
            double number;
            if (!absl::SimpleAtod(values.back(), &number) || !(number >= 0 && number <= high)) {
              return Refuse(values.back(), accepted);
            }
            field(config) = number;
            return absl::OkStatus();
          }};
}

// Given in seconds, kept in milliseconds; at least one.
template <class Field>  // Field: Config& -> int64_t&
Setting Seconds(std::string name, std::string group, Field field, std::string meaning) {
  constexpr double kMost = 86400;
  const std::string accepted = "0.001..86400 seconds";
  Config standard;
  return {std::move(name), std::move(group), accepted, absl::StrCat(static_cast<double>(field(standard)) / 1e3), std::move(meaning), false,
          [=](Config& config, const std::vector<std::string>& values) {
            double seconds;
            if (!absl::SimpleAtod(values.back(), &seconds) || !(seconds >= 1e-3 && seconds <= kMost)) {
              return Refuse(values.back(), accepted);
            }
            field(config) = std::llround(seconds * 1e3);
            return absl::OkStatus();
          }};
}

template <class Field>  // Field: Config& -> an integer of 64 bits&
Setting Size(std::string name, std::string group, Field field, std::string zero, std::string meaning) {
  Config standard;
  const std::string standard_text = field(standard) == 0 ? zero : BytesText(static_cast<int64_t>(field(standard)));
  return {std::move(name), std::move(group), "BYTES", standard_text, std::move(meaning), false,
          [=](Config& config, const std::vector<std::string>& values) {
            const auto bytes = ParseBytes(values.back());
            if (!bytes.ok()) return bytes.status();
            field(config) = static_cast<std::decay_t<decltype(field(config))>>(*bytes);
            return absl::OkStatus();
          }};
}

}  // namespace braid
