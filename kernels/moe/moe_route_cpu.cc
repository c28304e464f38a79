// Logits by blocks of tokens and experts, one chain of 16 lanes an element, experts split over members; then each
// member chooses for its tokens.
#include "kernels/base/team.h"
#include "kernels/moe/moe.h"
#include "kernels/scratch.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

constexpr int kBlock = BRAID_ISA_LEVEL >= 2 ? 4 : 2;
constexpr float kLowest = -__builtin_inff();

// logits[i * stride + j] = x[i] . gate[j]
template <int kTokens, int kExperts>
void Dots(const TensorView& x, int64_t token, const float* gate, float* logits, int64_t stride) {
  const int64_t n = x.cols;
  V16 sums[kTokens][kExperts];
  for (int i = 0; i < kTokens; ++i) {
    for (int j = 0; j < kExperts; ++j) sums[i][j] = Zero();
  }
  for (int64_t c = 0; c < n; c += kLanes) {
    const int lanes = n - c < kLanes ? static_cast<int>(n - c) : kLanes;
    V16 g[kExperts];
    for (int j = 0; j < kExperts; ++j) g[j] = lanes == kLanes ? Load(gate + j * n + c) : Load(gate + j * n + c, lanes);
    for (int i = 0; i < kTokens; ++i) {
      const float* const row = x.row(token + i) + c;
      const V16 v = lanes == kLanes ? Load(row) : Load(row, lanes);
      for (int j = 0; j < kExperts; ++j) sums[i][j] = Fma(v, g[j], sums[i][j]);
    }
  }
  for (int i = 0; i < kTokens; ++i) {
    for (int j = 0; j < kExperts; ++j) logits[i * stride + j] = Sum(sums[i][j]);
  }
}

template <int kExperts>
void DotsOfAllTokens(const RouteArgs& args, int64_t expert, float* logits) {
  const float* const gate = args.gate + expert * args.x.cols;
  int64_t t = 0;
  for (; t + kBlock <= args.x.rows; t += kBlock) {
    Dots<kBlock, kExperts>(args.x, t, gate, logits + t * args.experts + expert, args.experts);
  }
  for (; t < args.x.rows; ++t) Dots<1, kExperts>(args.x, t, gate, logits + t * args.experts + expert, args.experts);
}

void ComputeLogits(const RouteArgs& args, const Share& share, float* logits) {
  const Share::Range range = share.Of(args.experts, kBlock);
  int64_t e = range.begin;
  for (; e + kBlock <= range.end; e += kBlock) DotsOfAllTokens<kBlock>(args, e, logits);
  for (; e < range.end; ++e) DotsOfAllTokens<1>(args, e, logits);
}

BRAID_WORD int LanesAt(int e, int experts) { return experts - e < kLanes ? experts - e : kLanes; }

// scores = softmax(scores) in place. A NaN leaves them all NaN.
void Softmax(float* scores, int experts) {
  const V16 low = Set1(kLowest);
  V16 max = low, sum = Zero();
  for (int e = 0; e < experts; e += kLanes) {
    const int lanes = LanesAt(e, experts);
    max = Max(KeepFirst(Load(scores + e, lanes), lanes, low), max);  // passes over NaN
  }
  const V16 top = Set1(MaxLane(max));
  for (int e = 0; e < experts; e += kLanes) {
    const int lanes = LanesAt(e, experts);
    const V16 p = KeepFirst(Exp(Sub(Load(scores + e, lanes), top)), lanes, Zero());
    sum = Add(sum, p);
    Store(scores + e, p, lanes);
  }
  const V16 total = Set1(Sum(sum));
  for (int e = 0; e < experts; e += kLanes) {
    const int lanes = LanesAt(e, experts);
    Store(scores + e, Div(Load(scores + e, lanes), total), lanes);
  }
}

// Scores of the logits in place; choice = scores + bias, never NaN.
void Score(const RouteArgs& args, float* scores, float* choice) {
  for (int e = 0; e < args.experts; e += kLanes) {
    const int lanes = LanesAt(e, args.experts);
    V16 s = Load(scores + e, lanes);
    if (args.logit_bias != nullptr) s = Add(s, Load(args.logit_bias + e, lanes));
    Store(scores + e, args.scoring == RouteScoring::kSigmoid ? Sigmoid(s) : s, lanes);
  }
  if (args.scoring == RouteScoring::kSoftmax) Softmax(scores, args.experts);
  for (int e = 0; e < args.experts; ++e) {
    const float sum = scores[e] + (args.bias != nullptr ? args.bias[e] : 0.0f);
    choice[e] = sum == sum ? sum : kLowest;
  }
}

// Indices of the `count` largest of `n` values by falling value, lower index first among equals.
void Largest(const float* values, int n, int count, int32_t* best) {
  int held = 0;
  for (int i = 0; i < n; ++i) {
    if (held == count && !(values[i] > values[best[held - 1]])) continue;
    int at = held < count ? held++ : held - 1;
    for (; at > 0 && values[i] > values[best[at - 1]]; --at) best[at] = best[at - 1];
    best[at] = i;
  }
}

void SortRising(int32_t* ids, int n) {
  for (int i = 1; i < n; ++i) {
    const int32_t id = ids[i];
    int at = i;
    for (; at > 0 && ids[at - 1] > id; --at) ids[at] = ids[at - 1];
    ids[at] = id;
  }
}

// The sum of a group's two largest values.
float GroupScore(const float* choice, int size) {
  float first = kLowest, second = kLowest;
  for (int i = 0; i < size; ++i) {
    if (choice[i] > first) {
      second = first;
      first = choice[i];
    } else if (choice[i] > second) {
      second = choice[i];
    }
  }
  return size == 1 ? first : first + second;
}

// Lowers the experts outside the best groups to -inf. `ids` has room for every group.
void KeepBestGroups(const RouteArgs& args, float* choice, float* group_scores, int32_t* ids) {
  if (args.groups <= 1) return;
  const int size = args.experts / args.groups;
  for (int g = 0; g < args.groups; ++g) group_scores[g] = GroupScore(choice + g * size, size);
  Largest(group_scores, args.groups, args.top_groups, ids);
  SortRising(ids, args.top_groups);
  for (int g = 0, next = 0; g < args.groups; ++g) {
    if (next < args.top_groups && ids[next] == g) {
      ++next;
      continue;
    }
    for (int i = 0; i < size; ++i) choice[g * size + i] = kLowest;
  }
}

void Choose(const RouteArgs& args, int64_t t, const float* scores, const float* choice) {
  int32_t* const ids = args.expert_ids + t * args.top_k;
  float* const weights = args.expert_weights + t * args.top_k;
  Largest(choice, args.experts, args.top_k, ids);
  SortRising(ids, args.top_k);
  float sum = 0;
  for (int k = 0; k < args.top_k; ++k) sum += scores[ids[k]];
  for (int k = 0; k < args.top_k; ++k) {
    const float weight = args.normalize ? scores[ids[k]] / (sum + 1e-20f) : scores[ids[k]];
    weights[k] = weight * args.scale;
  }
}

}  // namespace

void Route(const RouteArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const int64_t words = (args.experts + 2 * int64_t{args.groups} + 15) / 16 * 16;
  float* const scores = scratch.Array<float>(args.x.rows * args.experts);
  float* const memory = scratch.Array<float>(words * share.count);
  if (scratch.measuring()) return;
  ComputeLogits(args, share, scores);
  share.Sync();
  float* const choice = memory + words * share.index;
  float* const group_scores = choice + args.experts;
  const Share::Range range = share.Of(args.x.rows);
  for (int64_t t = range.begin; t < range.end; ++t) {
    Score(args, scores + t * args.experts, choice);
    KeepBestGroups(args, choice, group_scores, reinterpret_cast<int32_t*>(group_scores + args.groups));
    Choose(args, t, scores + t * args.experts, choice);
  }
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
