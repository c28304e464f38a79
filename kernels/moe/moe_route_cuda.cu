// Two kernels. Logits: a small product in f32, tiles of 32 tokens and 32 experts, whose inputs are divided among blocks
// when there are few tiles; bound by the gate's bytes for few tokens, by f32 arithmetic for many. Choose: a warp for
// each token adds the divided logits in their order, scores, and takes the best expert top_k times.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"
#include "kernels/device.h"

namespace braid::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kEdge = 32;        // tokens and experts of a tile
constexpr int kDepth = 32;       // inputs of a stage
constexpr int kStride = kDepth + 1;
constexpr int kMaxExperts = 1024;  // a lane has a bit for each of its own

// ---- logits

struct LogitsParams {
  const float *x, *gate;
  int64_t x_stride;
  int tokens, experts, hidden, per_split;
  float* partial;  // [splits, tokens, experts]
};

__device__ void LoadStage(const float* rows, int64_t stride, int first, int count, int begin, int end,
                          SharedPtr<float> to) {
  for (int i = threadIdx.x; i < kEdge * kDepth; i += kThreads) {
    const int row = first + i / kDepth, k = begin + i % kDepth;
    to[i / kDepth * kStride + i % kDepth] = row < count && k < end ? rows[row * stride + k] : 0.0f;
  }
}

// Grid: (tiles of experts, tiles of tokens, splits). A thread has two tokens and two experts.
__global__ void __launch_bounds__(kThreads) Logits(const LogitsParams p) {
  BRAID_SHARED(float, x, kEdge * kStride);
  BRAID_SHARED(float, gate, kEdge * kStride);
  const int first_expert = blockIdx.x * kEdge, first_token = blockIdx.y * kEdge;
  const int begin = blockIdx.z * p.per_split, end = min(begin + p.per_split, p.hidden);
  const int token = threadIdx.x / 16, expert = threadIdx.x % 16;
  float sums[2][2] = {};
  for (int k = begin; k < end; k += kDepth) {
    __syncthreads();
    LoadStage(p.x, p.x_stride, first_token, p.tokens, k, end, x);
    LoadStage(p.gate, p.hidden, first_expert, p.experts, k, end, gate);
    __syncthreads();
#pragma unroll 8
    for (int i = 0; i < kDepth; ++i) {
      const float x0 = x[token * kStride + i], x1 = x[(token + 16) * kStride + i];
      const float g0 = gate[expert * kStride + i], g1 = gate[(expert + 16) * kStride + i];
      sums[0][0] = fmaf(x0, g0, sums[0][0]);
      sums[0][1] = fmaf(x0, g1, sums[0][1]);
      sums[1][0] = fmaf(x1, g0, sums[1][0]);
      sums[1][1] = fmaf(x1, g1, sums[1][1]);
    }
  }
  for (int i = 0; i < 2; ++i) {
    for (int j = 0; j < 2; ++j) {
      const int t = first_token + token + 16 * i, e = first_expert + expert + 16 * j;
      if (t >= p.tokens || e >= p.experts) continue;
      p.partial[(static_cast<int64_t>(blockIdx.z) * p.tokens + t) * p.experts + e] = sums[i][j];
    }
  }
}

// ---- choice

struct ChooseParams {
  const float* partial;  // [splits, tokens, experts]
  int splits, tokens, experts, top_k, groups, top_groups;
  const float *bias, *logit_bias;
  bool softmax, normalize;
  float scale;
  int32_t* ids;
  float* weights;
};

__device__ __forceinline__ float Lowest() { return -__uint_as_float(0x7f800000u); }

// A lane has experts lane, lane + 32, ...: number i is expert i * 32 + lane.
__device__ void TakeScores(const ChooseParams& p, int token, SharedPtr<float> scores) {
  const int lane = threadIdx.x % kWarp;
  float max = Lowest(), sum = 0;
  for (int e = lane; e < p.experts; e += kWarp) {
    float logit = p.logit_bias != nullptr ? p.logit_bias[e] : 0.0f;
    for (int s = 0; s < p.splits; ++s) logit += p.partial[(static_cast<int64_t>(s) * p.tokens + token) * p.experts + e];
    scores[e] = p.softmax ? logit : Sigmoid(logit);
    max = fmaxf(max, logit);
  }
  if (!p.softmax) return;
  max = WarpMax(max);
  for (int e = lane; e < p.experts; e += kWarp) {
    const float power = expf(scores[e] - max);
    scores[e] = power;
    sum += power;
  }
  sum = WarpSum(sum);
  for (int e = lane; e < p.experts; e += kWarp) scores[e] = scores[e] / sum;
}

// The two best of a group, added.
__device__ float GroupScore(SharedPtr<float> choice, int first, int size) {
  float best = Lowest(), second = Lowest();
  for (int i = 0; i < size; ++i) {
    const float v = choice[first + i];
    second = fmaxf(second, fminf(best, v));
    best = fmaxf(best, v);
  }
  return size == 1 ? best : best + second;
}

// Lowers the experts outside the best groups; `group_scores` has room for all groups.
__device__ void KeepBestGroups(const ChooseParams& p, SharedPtr<float> choice, SharedPtr<float> group_scores) {
  const int lane = threadIdx.x % kWarp, size = p.experts / p.groups;
  for (int g = lane; g < p.groups; g += kWarp) group_scores[g] = GroupScore(choice, g * size, size);
  __syncwarp();
  for (int g = lane; g < p.groups; g += kWarp) {
    const float own = group_scores[g];
    int better = 0;
    for (int other = 0; other < p.groups; ++other) {
      const float v = group_scores[other];
      better += v > own || (v == own && other < g);
    }
    if (better < p.top_groups) continue;
    for (int i = 0; i < size; ++i) choice[g * size + i] = Lowest();
  }
  __syncwarp();
}

// This lane's best expert that is not taken; the lower number among equals. `taken` has a bit for each of its numbers.
struct Best {
  float value;
  int expert;
};
__device__ __forceinline__ bool IsBetter(const Best& a, const Best& b) {
  return a.value > b.value || (a.value == b.value && a.expert < b.expert);
}
__device__ Best TakeBest(const ChooseParams& p, SharedPtr<float> choice, uint32_t taken) {
  Best best{Lowest(), kMaxExperts};
  int number = 0;
  for (int e = threadIdx.x % kWarp; e < p.experts; e += kWarp, ++number) {
    const Best one{choice[e], e};
    if ((taken >> number & 1u) == 0 && IsBetter(one, best)) best = one;
  }
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    const Best other{__shfl_xor_sync(kFullMask, best.value, lanes), __shfl_xor_sync(kFullMask, best.expert, lanes)};
    if (IsBetter(other, best)) best = other;
  }
  return best;
}

// Writes the taken experts, rising, and their weights.
__device__ void WriteChoice(const ChooseParams& p, int token, uint32_t taken, SharedPtr<float> scores,
                            SharedPtr<int32_t> ids) {
  const int lane = threadIdx.x % kWarp;
  int count = 0;
  for (int number = 0; number * kWarp < p.experts; ++number) {
    const bool mine = (taken >> number & 1u) != 0;
    const unsigned all = __ballot_sync(kFullMask, mine);
    if (mine) ids[count + __popc(all & ((1u << lane) - 1u))] = number * kWarp + lane;
    count += __popc(all);
  }
  __syncwarp();
  float sum = 0;
  for (int k = 0; k < p.top_k; ++k) sum += scores[ids[k]];
  for (int k = lane; k < p.top_k; k += kWarp) {
    const float score = scores[ids[k]];
    p.ids[static_cast<int64_t>(token) * p.top_k + k] = ids[k];
    p.weights[static_cast<int64_t>(token) * p.top_k + k] = (p.normalize ? score / (sum + 1e-20f) : score) * p.scale;
  }
}

// Grid: tokens; a warp each. Dynamic shared memory: scores and choice [experts], group scores [groups], ids [top_k].
__global__ void __launch_bounds__(kWarp) Choose(const ChooseParams p) {
  const int token = blockIdx.x, lane = threadIdx.x;
  const SharedPtr<float> scores = DynamicShared<float>(), choice = scores + p.experts, group_scores = choice + p.experts;
  TakeScores(p, token, scores);
  for (int e = lane; e < p.experts; e += kWarp) {
    const float sum = scores[e] + (p.bias != nullptr ? p.bias[e] : 0.0f);
    choice[e] = sum == sum ? sum : Lowest();
  }
  __syncwarp();
  if (p.groups > 1) KeepBestGroups(p, choice, group_scores);
  uint32_t taken = 0;
  for (int k = 0; k < p.top_k; ++k) {
    const Best best = TakeBest(p, choice, taken);
    if (best.expert % kWarp == lane) taken |= 1u << best.expert / kWarp;
  }
  WriteChoice(p, token, taken, scores, SharedCast<int32_t>(group_scores + p.groups));
}

int64_t MaxSplits(int64_t hidden) { return std::max<int64_t>(hidden / (4 * kDepth), 1); }
int64_t WantedBlocks() { return 2 * device::NumProcessors(); }

int SplitsOf(int64_t tiles, int64_t hidden) {
  return static_cast<int>(std::clamp<int64_t>(WantedBlocks() / std::max<int64_t>(tiles, 1), 1, MaxSplits(hidden)));
}

// Floats of the logits of these tokens or fewer, divided or not.
int64_t MaxPartials(const RouteArgs& args) {
  const int64_t whole = args.x.rows * args.experts;
  return std::max(whole, std::min(WantedBlocks() * kEdge * kEdge, MaxSplits(args.x.cols) * whole));
}

}  // namespace

void Route(const RouteArgs& args, Step& step) {
  CHECK_LE(args.experts, kMaxExperts);
  Scratch::Scope scope(step.scratch());
  const int64_t tokens = args.x.rows, across = CeilDiv(args.experts, kEdge), down = CeilDiv(tokens, kEdge);
  const int splits = SplitsOf(across * down, args.x.cols);
  float* const partial = step.scratch().Array<float>(MaxPartials(args));
  if (step.measuring() || tokens == 0) return;
  const int64_t per_split = CeilDiv(CeilDiv(args.x.cols, splits), kDepth) * kDepth;
  Launch(Logits,
         {.grid = {static_cast<uint32_t>(across), static_cast<uint32_t>(down), static_cast<uint32_t>(splits)},
          .block = kThreads,
          .stream = step.stream()},
         LogitsParams{args.x.f32(), args.gate, args.x.stride, static_cast<int>(tokens), args.experts,
                      static_cast<int>(args.x.cols), static_cast<int>(per_split), partial});
  const size_t words = 2 * static_cast<size_t>(args.experts) + static_cast<size_t>(args.groups + args.top_k);
  Launch(Choose,
         {.grid = static_cast<uint32_t>(tokens), .block = kWarp, .shared_bytes = 4 * words, .stream = step.stream()},
         ChooseParams{partial, splits, static_cast<int>(tokens), args.experts, args.top_k, args.groups,
                      args.top_groups, args.bias, args.logit_bias, args.scoring == RouteScoring::kSoftmax,
                      args.normalize, args.scale, args.expert_ids, args.expert_weights});
}

}  // namespace braid::cuda
