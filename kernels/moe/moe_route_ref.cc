#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/moe/moe.h"

namespace braid::ref {
namespace {

// Indices of the `count` largest values, lower index first among equals, rising.
std::vector<int> Largest(const std::vector<float>& values, int count) {
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return values[a] > values[b]; });
  order.resize(count);
  std::sort(order.begin(), order.end());
  return order;
}

float GroupScore(const std::vector<float>& choice, int group, int size) {
  std::vector<float> part(choice.begin() + group * size, choice.begin() + (group + 1) * size);
  std::sort(part.begin(), part.end(), std::greater<float>());
  return size == 1 ? part[0] : part[0] + part[1];
}

// Lowers the experts outside the best groups to -inf.
void KeepBestGroups(const RouteArgs& args, std::vector<float>& choice) {
  if (args.groups <= 1) return;
  const int size = args.experts / args.groups;
  std::vector<float> scores;
  for (int g = 0; g < args.groups; ++g) scores.push_back(GroupScore(choice, g, size));
  const std::vector<int> kept = Largest(scores, args.top_groups);
  for (int e = 0; e < args.experts; ++e) {
    if (!std::binary_search(kept.begin(), kept.end(), e / size)) choice[e] = -std::numeric_limits<float>::infinity();
  }
}

std::vector<float> Scores(const RouteArgs& args, int64_t t) {
  std::vector<double> logits(args.experts);
  for (int e = 0; e < args.experts; ++e) {
    logits[e] = args.logit_bias != nullptr ? args.logit_bias[e] : 0;
    for (int64_t i = 0; i < args.x.cols; ++i) logits[e] += double{args.x.row(t)[i]} * args.gate[e * args.x.cols + i];
  }
  std::vector<float> scores(args.experts);
  if (args.scoring == RouteScoring::kSigmoid) {
    for (int e = 0; e < args.experts; ++e) scores[e] = static_cast<float>(1 / (1 + std::exp(-logits[e])));
    return scores;
  }
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (double& logit : logits) sum += logit = std::exp(logit - max);
  for (int e = 0; e < args.experts; ++e) scores[e] = static_cast<float>(logits[e] / sum);
  return scores;
}

void RouteToken(const RouteArgs& args, int64_t t) {
  const std::vector<float> scores = Scores(args, t);
  std::vector<float> choice;
  for (int e = 0; e < args.experts; ++e) {
    const float sum = scores[e] + (args.bias != nullptr ? args.bias[e] : 0.0f);
    choice.push_back(std::isnan(sum) ? -std::numeric_limits<float>::infinity() : sum);
  }
  KeepBestGroups(args, choice);
  const std::vector<int> ids = Largest(choice, args.top_k);
  float sum = 0;
  for (int id : ids) sum += scores[id];
  for (int k = 0; k < args.top_k; ++k) {
    args.expert_ids[t * args.top_k + k] = ids[k];
    const float weight = args.normalize ? scores[ids[k]] / (sum + 1e-20f) : scores[ids[k]];
    args.expert_weights[t * args.top_k + k] = weight * args.scale;
  }
}

}  // namespace

void Route(const RouteArgs& args) {
  for (int64_t t = 0; t < args.x.rows; ++t) RouteToken(args, t);
}

}  // namespace braid::ref
