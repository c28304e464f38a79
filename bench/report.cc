#include "bench/report.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_format.h"

namespace braid::bench {
namespace {

std::string Row(const char* name, const Distribution& d) {
  return absl::StrFormat("%-26s %9.2f %9.2f %9.2f %9.2f %9.2f\n", name, d.mean * 1e3, d.p50 * 1e3, d.p90 * 1e3,
                         d.p99 * 1e3, d.max * 1e3);
}

Json JsonOf(const Distribution& d) {
  return {{"count", d.count}, {"mean", d.mean}, {"p50", d.p50}, {"p90", d.p90}, {"p99", d.p99}, {"max", d.max}};
}

}  // namespace

double Percentile(const std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  const double place = share * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(std::floor(place));
  const size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - static_cast<double>(below)) * (values[above] - values[below]);
}

Distribution Describe(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {values.size(), sum / static_cast<double>(values.size()), Percentile(values, 0.5), Percentile(values, 0.9),
          Percentile(values, 0.99), values.back()};
}

bool Targets::Met(const CallResult& result) const {
  return result.ok() && (ttft_s <= 0 || result.ttft_s <= ttft_s) && (itl_s <= 0 || result.TimePerToken() <= itl_s);
}

Report Summarize(const std::vector<CallResult>& results, double duration_s, const Targets& targets) {
  Report report{.duration_s = duration_s, .requests = static_cast<int>(results.size()), .has_targets = targets.any()};
  std::vector<double> ttft, gaps, per_token, e2e;
  for (const CallResult& r : results) {
    if (!r.ok()) {
      ++report.errors[r.error];
      continue;
    }
    ++report.succeeded;
    report.prompt_tokens += r.prompt_tokens;
    report.output_tokens += r.output_tokens;
    report.good += targets.Met(r);
    ttft.push_back(r.ttft_s);
    e2e.push_back(r.e2e_s);
    gaps.insert(gaps.end(), r.gaps_s.begin(), r.gaps_s.end());
    if (r.output_tokens > 1) per_token.push_back(r.TimePerToken());
  }
  report.ttft_s = Describe(std::move(ttft));
  report.itl_s = Describe(std::move(gaps));
  report.time_per_token_s = Describe(std::move(per_token));
  report.e2e_s = Describe(std::move(e2e));
  return report;
}

std::string TableOf(const Report& r) {
  std::string out = absl::StrFormat("requests        %d sent, %d succeeded, %d failed in %.2f s\n", r.requests,
                                    r.succeeded, r.requests - r.succeeded, r.duration_s);
  for (const auto& [kind, count] : r.errors) out += absl::StrFormat("  failed        %d x %s\n", count, kind);
  out += absl::StrFormat("tokens          %d prompt, %d output\n", r.prompt_tokens, r.output_tokens);
  out += absl::StrFormat("throughput      %.2f requests/s, %.1f output tokens/s, %.1f tokens/s in all\n",
                         r.PerSecond(r.succeeded), r.PerSecond(static_cast<double>(r.output_tokens)),
                         r.PerSecond(static_cast<double>(r.output_tokens + r.prompt_tokens)));
  if (r.has_targets) {
    out += absl::StrFormat("goodput         %.2f requests/s (%d of %d met the targets)\n", r.PerSecond(r.good), r.good,
                           r.requests);
  }
  out += absl::StrFormat("\n%-26s %9s %9s %9s %9s %9s\n", "ms", "mean", "p50", "p90", "p99", "max");
  out += Row("time to first token", r.ttft_s);
  out += Row("inter-token latency", r.itl_s);
  out += Row("time per output token", r.time_per_token_s);
  out += Row("end to end", r.e2e_s);
  return out;
}

Json JsonOf(const Report& r) {
  Json json = {{"duration_s", r.duration_s},
               {"requests", r.requests},
               {"succeeded", r.succeeded},
               {"errors", r.errors},
               {"prompt_tokens", r.prompt_tokens},
               {"output_tokens", r.output_tokens},
               {"requests_per_s", r.PerSecond(r.succeeded)},
               {"output_tokens_per_s", r.PerSecond(static_cast<double>(r.output_tokens))},
               {"ttft_s", JsonOf(r.ttft_s)},
               {"itl_s", JsonOf(r.itl_s)},
               {"time_per_token_s", JsonOf(r.time_per_token_s)},
               {"e2e_s", JsonOf(r.e2e_s)}};
  if (r.has_targets) json["goodput_requests_per_s"] = r.PerSecond(r.good);
  return json;
}

}  // namespace braid::bench
