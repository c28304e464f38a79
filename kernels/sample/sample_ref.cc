// Sorts the whole vocabulary and sums in f64.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "kernels/sample/draw.h"
#include "kernels/sample/sample.h"

namespace braid::ref {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Logits = std::vector<float>;

Logits RowOf(TensorView logits, int64_t row) { return {logits.row(row), logits.row(row) + logits.cols}; }

bool IsFinite(const Logits& logits) {
  bool any = false;
  for (float x : logits) {
    if (std::isnan(x) || x == kInfinity) return false;
    any |= x > -kInfinity;
  }
  return any;
}

// Ids by falling logit, lower id first among equals.
std::vector<int32_t> Ranked(const Logits& logits) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  return order;
}

// The token's own log-probability and rank, and the log-probabilities of the `top` best; nothing when top < 0.
void SetLogprobs(const Logits& logits, int32_t token, int32_t top, SampledRow& out) {
  out.logprob = 0;
  out.rank = 0;
  out.top.clear();
  if (top < 0) return;
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float x : logits) sum += std::exp(x - max);
  const auto logprob = [&](int32_t id) { return static_cast<float>(logits[id] - max - std::log(sum)); };
  out.logprob = logprob(token);
  const std::vector<int32_t> order = Ranked(logits);
  out.rank = static_cast<int32_t>(std::find(order.begin(), order.end(), token) - order.begin()) + 1;
  for (size_t i = 0; i < order.size() && i < static_cast<size_t>(top); ++i) {
    out.top.push_back({order[i], logprob(order[i])});
  }
}

void ApplyMasks(const SampleRow& row, Logits& logits) {
  const std::set<int32_t> allowed(row.allowed_ids.begin(), row.allowed_ids.end());
  const std::set<int32_t> banned(row.banned_ids.begin(), row.banned_ids.end());
  for (int32_t id = 0; id < static_cast<int32_t>(logits.size()); ++id) {
    const bool masked = row.mask != nullptr && (row.mask[id / 32] >> (id % 32) & 1) == 0;
    if (masked || (!allowed.empty() && !allowed.contains(id)) || banned.contains(id)) logits[id] = -kInfinity;
  }
}

void ApplyPenalties(const SampleRow& row, Logits& logits) {
  const int32_t vocab = static_cast<int32_t>(logits.size());
  std::map<int32_t, int32_t> counts;
  for (int32_t id : row.output) ++counts[id];
  std::set<int32_t> seen(row.prompt.begin(), row.prompt.end());
  seen.insert(row.output.begin(), row.output.end());
  for (int32_t id : seen) {
    if (id < 0 || id >= vocab) continue;
    logits[id] = logits[id] > 0 ? logits[id] / row.repetition_penalty : logits[id] * row.repetition_penalty;
  }
  for (auto [id, count] : counts) {
    if (id < 0 || id >= vocab) continue;
    logits[id] -= row.frequency_penalty * static_cast<float>(count) + row.presence_penalty;
  }
}

// How many of the ranked candidates survive top-k, top-p and min-p; `p` is relative to the best.
size_t NumKept(const SampleRow& row, const std::vector<double>& p) {
  size_t kept = row.top_k > 0 ? std::min<size_t>(row.top_k, p.size()) : p.size();
  const double need = row.top_p * std::accumulate(p.begin(), p.begin() + kept, 0.0);
  double mass = 0;
  for (size_t i = 0; i < kept && row.top_p < 1; ++i) {
    mass += p[i];
    if (mass >= need) kept = i + 1;
  }
  while (kept > 1 && p[kept - 1] < row.min_p) --kept;
  return kept;
}

int32_t Draw(const SampleRow& row, const Logits& logits) {
  std::vector<int32_t> ids = Ranked(logits);
  if (row.temperature < kGreedyTemperature) return ids[0];
  std::vector<double> p;
  for (int32_t id : ids) p.push_back(std::exp((double{logits[id]} - logits[ids[0]]) / row.temperature));
  const size_t kept = NumKept(row, p);
  std::map<int32_t, double> by_id;
  double sum = 0;
  for (size_t i = 0; i < kept; ++i) sum += by_id[ids[i]] = p[i];
  const double target = UniformDraw(row.seed, row.stream, row.position) * sum;
  double mass = 0;
  for (auto [id, weight] : by_id) {
    mass += weight;
    if (mass > target) return id;
  }
  while (by_id.size() > 1 && by_id.rbegin()->second == 0) by_id.erase(std::prev(by_id.end()));
  return by_id.rbegin()->first;
}

void SampleOne(const SampleRow& row, const Logits& raw, SampledRow& out) {
  out = {};
  if (!IsFinite(raw)) return;
  Logits logits = raw;
  ApplyMasks(row, logits);
  for (auto [id, bias] : row.logit_bias) {
    if (id >= 0 && id < static_cast<int32_t>(logits.size())) logits[id] += bias;
  }
  ApplyPenalties(row, logits);
  if (!IsFinite(logits)) return;
  out.token = Draw(row, logits);
  SetLogprobs(raw, out.token, row.top_logprobs, out);
}

}  // namespace

void Sample(const SampleArgs& args) {
  for (size_t i = 0; i < args.rows.size(); ++i) {
    SampleOne(args.rows[i], RowOf(args.logits, static_cast<int64_t>(i)), args.sampled[i]);
  }
}

void TokenLogprobs(const TokenLogprobsArgs& args) {
  for (size_t i = 0; i < args.tokens.size(); ++i) {
    const Logits logits = RowOf(args.logits, static_cast<int64_t>(i));
    SampledRow& out = args.sampled[i];
    out = {};
    if (!IsFinite(logits)) continue;
    out.token = args.tokens[i];
    SetLogprobs(logits, out.token, std::max(args.top[i], 0), out);
  }
}

}  // namespace braid::ref
