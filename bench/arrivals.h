// When requests are sent: random gaps at a rate, or the times of a recorded trace.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace braid::bench {

// Returns `count` rising times in seconds; the first is 0. Gaps are drawn from a gamma distribution of mean 1 / rate
// and shape `burstiness`: 1 is a Poisson process, below 1 comes in bursts, above 1 is more even.
// Requires rate > 0 and burstiness > 0.
std::vector<double> ArrivalTimes(int count, double rate, double burstiness, uint64_t seed);

// One request of a recorded trace.
struct TraceRow {
  double time_s = 0;  // since the start
  int prompt_tokens = 0;
  int output_tokens = 0;
};

// Reads one JSON object a line: {"time_s": 0.5, "prompt_tokens": 512, "output_tokens": 64}. Times must not fall.
absl::StatusOr<std::vector<TraceRow>> ParseTrace(std::string_view text);

}  // namespace braid::bench
