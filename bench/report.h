// What a run came to: latencies, rates, goodput, errors; as a table and as JSON.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/client.h"
#include "kernels/base/json.h"

namespace braid::bench {

// The value below which `share` of `values` lie, by linear interpolation between neighbours; 0 when there are none.
// `values` must be sorted.
double Percentile(const std::vector<double>& values, double share);

struct Distribution {
  size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
};
Distribution Describe(std::vector<double> values);

// The targets that a request must meet to count as good; 0: none.
struct Targets {
  double ttft_s = 0;
  double itl_s = 0;  // on the request's mean time per token after the first
  bool any() const { return ttft_s > 0 || itl_s > 0; }
  bool Met(const CallResult& result) const;
};

struct Report {
  double duration_s = 0;
  int requests = 0;
  int succeeded = 0;
  std::map<std::string, int> errors;  // by kind
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  Distribution ttft_s, itl_s, time_per_token_s, e2e_s;
  int good = 0;                       // met the targets
  bool has_targets = false;

  double PerSecond(double count) const { return duration_s > 0 ? count / duration_s : 0; }
};

Report Summarize(const std::vector<CallResult>& results, double duration_s, const Targets& targets);

std::string TableOf(const Report& report);
Json JsonOf(const Report& report);

}  // namespace braid::bench
