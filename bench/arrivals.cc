#include "bench/arrivals.h"

#include <algorithm>
#include <random>
#include <string>

#include "absl/strings/str_split.h"
#include "kernels/base/errors.h"
#include "kernels/base/json.h"

namespace braid::bench {
namespace {

constexpr int kMaxTokens = 1 << 24;

absl::StatusOr<double> Number(const Json& row, const char* name, double max) {
  const auto it = row.find(name);
  if (it == row.end() || !it->is_number()) return absl::InvalidArgumentError(absl::StrCat(name, ": a number is needed"));
  const double value = it->get<double>();
  if (!(value >= 0 && value <= max)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ": ", value, " is not within 0..", max));
  }
  return value;
}

absl::StatusOr<TraceRow> ParseRow(std::string_view line) {
  ASSIGN_OR_RETURN(const Json row, ParseJson(line));
  if (!row.is_object()) return absl::InvalidArgumentError("an object is needed");
  ASSIGN_OR_RETURN(const double time_s, Number(row, "time_s", 1e9));
  ASSIGN_OR_RETURN(const double prompt, Number(row, "prompt_tokens", kMaxTokens));
  ASSIGN_OR_RETURN(const double output, Number(row, "output_tokens", kMaxTokens));
  if (prompt < 1 || output < 1) return absl::InvalidArgumentError("prompt_tokens and output_tokens must be at least 1");
  return TraceRow{time_s, static_cast<int>(prompt), static_cast<int>(output)};
}

}  // namespace

std::vector<double> ArrivalTimes(int count, double rate, double burstiness, uint64_t seed) {
  CHECK(rate > 0 && burstiness > 0) << "rate " << rate << " burstiness " << burstiness;
  std::mt19937_64 random(seed);
  std::gamma_distribution<double> gap(burstiness, 1.0 / (rate * burstiness));
  std::vector<double> times(std::max(count, 0));
  for (size_t i = 1; i < times.size(); ++i) times[i] = times[i - 1] + gap(random);
  return times;
}

absl::StatusOr<std::vector<TraceRow>> ParseTrace(std::string_view text) {
  std::vector<TraceRow> rows;
  int number = 0;
  for (const absl::string_view line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++number;
    if (line.find_first_not_of(" \t\r") == absl::string_view::npos) continue;
    auto row = ParseRow({line.data(), line.size()});
    if (row.ok() && !rows.empty() && row->time_s < rows.back().time_s) {
      row = absl::InvalidArgumentError(absl::StrCat("time_s: ", row->time_s, " is before the line above"));
    }
    if (!row.ok()) return absl::InvalidArgumentError(absl::StrCat("line ", number, ": ", row.status().message()));
    rows.push_back(*row);
  }
  if (rows.empty()) return absl::InvalidArgumentError("the trace holds no request");
  return rows;
}

}  // namespace braid::bench
