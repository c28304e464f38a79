// One block a row; see sample_cuda.cuh. Bound by memory and L2: a greedy row is read three times, a filtered one about
// forty. The uniform number of each draw is computed by the host, from the same counter as everywhere.
#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cuda_ops.h"
#include "kernels/sample/draw.h"
#include "kernels/sample/sample_cuda.cuh"

namespace braid::cuda {
namespace {

// A SampleRow without pointers: lists are stretches of arrays that all rows share.
struct Stretch {
  int32_t begin = 0, count = 0;
};
struct RowSpec {
  double u;
  float temperature, top_p, min_p, frequency_penalty, presence_penalty, repetition_penalty;
  int32_t top_k, top_logprobs;
  Stretch prompt, output, allowed, banned;  // of ids
  Stretch biases;
  int32_t mask = -1;                        // word of masks; -1: none
  bool penalized, changes;
};
struct Bias {
  int32_t id;
  float value;
};

struct RowResult {
  int32_t token;
  float logprob;
  int32_t rank, num_top;
  float max;
  double log_sum;  // of e^(logit - max)
};
struct TopResult {
  int32_t id;
  float logit;
};

struct Lists {
  const RowSpec* rows;
  const int32_t* ids;
  const Bias* biases;
  const uint32_t* masks;
};

struct Results {
  RowResult* rows;
  TopResult* tops;  // [rows, max_top]
  int max_top;
};

// ---- what changes logits; the block waits behind each

__device__ void KeepAllowed(const int32_t* ids, int count, const float* raw, float* x, int n) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = -INFINITY;
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    if (ids[i] >= 0 && ids[i] < n) x[ids[i]] = raw[ids[i]];
  }
  __syncthreads();
}

__device__ void Ban(const int32_t* ids, int count, float* x, int n) {
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    if (ids[i] >= 0 && ids[i] < n) x[ids[i]] = -INFINITY;
  }
  __syncthreads();
}

__device__ void ApplyMask(const uint32_t* mask, float* x, int n) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) {
    if ((mask[i / 32] >> (i % 32) & 1) == 0) x[i] = -INFINITY;
  }
  __syncthreads();
}

// An id may be listed twice: all of its entries are one thread's.
__device__ void AddBiases(const Bias* biases, int count, float* x, int n) {
  for (int i = 0; i < count; ++i) {
    const int id = biases[i].id;
    if (id >= 0 && id < n && id % static_cast<int>(blockDim.x) == static_cast<int>(threadIdx.x)) x[id] += biases[i].value;
  }
  __syncthreads();
}

constexpr unsigned kInPrompt = 1u << 31;

// Calls body(id) for the ids of both lists that are in the vocabulary; `from_prompt` says of which.
template <class Body>
__device__ void ForEachSeen(const RowSpec& row, const int32_t* ids, int n, const Body& body) {
  for (int i = threadIdx.x; i < row.output.count + row.prompt.count; i += blockDim.x) {
    const bool from_prompt = i >= row.output.count;
    const int id = from_prompt ? ids[row.prompt.begin + i - row.output.count] : ids[row.output.begin + i];
    if (id >= 0 && id < n) body(id, from_prompt);
  }
  __syncthreads();
}

// `counters` [n] hold anything; those of seen ids are cleared, counted, and taken by one thread each.
__device__ void Penalize(const RowSpec& row, const int32_t* ids, unsigned* counters, float* x, int n) {
  ForEachSeen(row, ids, n, [&](int id, bool) { counters[id] = 0; });
  ForEachSeen(row, ids, n, [&](int id, bool from_prompt) {
    if (from_prompt) {
      atomicOr(counters + id, kInPrompt);
    } else {
      atomicAdd(counters + id, 1u);
    }
  });
  ForEachSeen(row, ids, n, [&](int id, bool) {
    const unsigned seen = atomicExch(counters + id, 0u), count = seen & ~kInPrompt;
    if (seen == 0) return;
    const float logit = x[id] > 0 ? x[id] / row.repetition_penalty : x[id] * row.repetition_penalty;
    x[id] = count == 0 ? logit : logit - (row.frequency_penalty * static_cast<float>(count) + row.presence_penalty);
  });
}

__device__ void Change(const RowSpec& row, const Lists& lists, float* raw, unsigned* counters, float* x, int n) {
  for (int i = threadIdx.x; i < n; i += blockDim.x) raw[i] = x[i];
  __syncthreads();
  if (row.allowed.count > 0) KeepAllowed(lists.ids + row.allowed.begin, row.allowed.count, raw, x, n);
  if (row.mask >= 0) ApplyMask(lists.masks + row.mask, x, n);
  Ban(lists.ids + row.banned.begin, row.banned.count, x, n);
  AddBiases(lists.biases + row.biases.begin, row.biases.count, x, n);
  if (row.penalized) Penalize(row, lists.ids, counters, x, n);
}

// ---- the draw

__device__ int Draw(const RowSpec& row, const float* x, int n, Key best, RowMemory memory) {
  if (row.temperature < kGreedyTemperature) return IdOf(best);
  Distribution d{x, n, x[IdOf(best)], 1.0f / row.temperature};
  if (row.top_k > 0 && row.top_k < n) d.limit = LimitOf(d, true, row.top_k, memory);
  if (row.top_p < 1.0f) d.limit = LimitOf(d, false, row.top_p * TotalOf(d, memory), memory);
  d.min_weight = min(row.min_p, 1.0f);
  return DrawId(d, row.u, memory);
}

// How many elements come before that of `key`, and 1.
__device__ int RankOf(const float* x, int n, Key key, RowMemory memory) {
  double before[1] = {};
  for (int i = threadIdx.x; i < n; i += blockDim.x) before[0] += KeyOf(x[i], i) > key ? 1.0 : 0.0;
  BlockSums(before, memory.sums);
  return static_cast<int>(before[0]) + 1;
}

// The `top` best; all of them in the order of their ids: the host sorts those.
__device__ void SetTop(const float* x, int n, Key best, int top, RowMemory memory, TopResult* tops) {
  if (top >= n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) tops[i] = {i, x[i]};
    return;
  }
  for (int i = 0; i < top; ++i) {
    if (threadIdx.x == 0) tops[i] = {IdOf(best), x[IdOf(best)]};
    if (i + 1 < top) best = BestBelow(x, n, best, memory.keys);
  }
}

// What logprobs are made of: those of `token`, which the first thread alone need know, and of the `top` best.
__device__ void SetLogprobs(const float* x, int n, int token, int top, RowMemory memory, RowResult* result, TopResult* tops) {
  const Key best = BestBelow(x, n, ~Key{0}, memory.keys);
  const float max = x[IdOf(best)];
  const double log_sum = log(TotalOf({x, n, max, 1.0f}, memory));
  const Key own = BlockMaxKey(threadIdx.x == 0 ? KeyOf(x[token], token) : 0, memory.keys);
  const int rank = RankOf(x, n, own, memory);
  if (threadIdx.x == 0) {
    *result = {token, static_cast<float>(static_cast<double>(x[token]) - max - log_sum), rank, min(top, n), max, log_sum};
  }
  SetTop(x, n, best, top, memory, tops);
}

__global__ void __launch_bounds__(kSampleThreads)
    SampleKernel(float* logits, int64_t stride, int n, Lists lists, float* raws, unsigned* counters, Results results) {
  BRAID_SHARED(double, sums, kPivots * kSampleThreads / kWarp);
  BRAID_SHARED(Key, keys, kSampleThreads / kWarp);
  const RowMemory memory{sums, keys};
  const int r = blockIdx.x;
  const RowSpec& row = lists.rows[r];
  float* const x = logits + r * stride;
  float* const raw = raws + static_cast<int64_t>(r) * n;
  RowResult* const result = results.rows + r;
  if (threadIdx.x == 0) *result = {-1, 0.0f, 0, 0, 0.0f, 0.0};
  if (!IsFinite(x, n)) return;
  if (row.changes) {
    Change(row, lists, raw, counters + static_cast<int64_t>(r) * n, x, n);
    if (!IsFinite(x, n)) return;
  }
  const Key best = BestBelow(x, n, ~Key{0}, memory.keys);
  const int token = Draw(row, x, n, best, memory);
  if (threadIdx.x == 0) result->token = token;
  if (row.top_logprobs < 0) return;  // the same for the whole block
  SetLogprobs(row.changes ? raw : x, n, token, row.top_logprobs, memory, result,
              results.tops + static_cast<int64_t>(r) * results.max_top);
}

__global__ void __launch_bounds__(kSampleThreads)
    TokenLogprobsKernel(const float* logits, int64_t stride, int n, const int32_t* tokens, const int32_t* top, Results results) {
  BRAID_SHARED(double, sums, kPivots * kSampleThreads / kWarp);
  BRAID_SHARED(Key, keys, kSampleThreads / kWarp);
  const int r = blockIdx.x;
  const float* const x = logits + r * stride;
  RowResult* const result = results.rows + r;
  if (threadIdx.x == 0) *result = {-1, 0.0f, 0, 0, 0.0f, 0.0};
  if (!IsFinite(x, n)) return;
  SetLogprobs(x, n, tokens[r], max(top[r], 0), {sums, keys}, result,
              results.tops + static_cast<int64_t>(r) * results.max_top);
}

// ---- the host's side

// Rows and their lists, one behind the other. Thread: its user's; reused from step to step.
class RowPacker {
 public:
  void Pack(std::span<const SampleRow> rows, int64_t vocab) {
    specs_.clear(), ids_.clear(), biases_.clear(), masks_.clear();
    for (const SampleRow& row : rows) Add(row, vocab);
  }
  Lists Place(Step& step) const {
    return {step.Place(std::span<const RowSpec>(specs_)), step.Place(std::span<const int32_t>(ids_)),
            step.Place(std::span<const Bias>(biases_)), step.Place(std::span<const uint32_t>(masks_))};
  }

 private:
  void Add(const SampleRow& row, int64_t vocab) {
    RowSpec spec{.u = UniformDraw(row.seed, row.stream, row.position),
                 .temperature = row.temperature, .top_p = row.top_p, .min_p = row.min_p,
                 .frequency_penalty = row.frequency_penalty, .presence_penalty = row.presence_penalty,
                 .repetition_penalty = row.repetition_penalty, .top_k = row.top_k, .top_logprobs = row.top_logprobs};
    spec.penalized = row.frequency_penalty != 0 || row.presence_penalty != 0 || row.repetition_penalty != 1;
    if (spec.penalized) spec.prompt = AddIds(row.prompt), spec.output = AddIds(row.output);
    spec.allowed = AddIds(row.allowed_ids);
    spec.banned = AddIds(row.banned_ids);
    spec.biases = {static_cast<int32_t>(biases_.size()), static_cast<int32_t>(row.logit_bias.size())};
    for (const auto& [id, value] : row.logit_bias) biases_.push_back({id, value});
    if (row.mask != nullptr) {
      spec.mask = static_cast<int32_t>(masks_.size());
      masks_.insert(masks_.end(), row.mask, row.mask + (vocab + 31) / 32);
    }
    spec.changes = spec.penalized || spec.mask >= 0 || spec.allowed.count + spec.banned.count + spec.biases.count > 0;
    specs_.push_back(spec);
  }
  Stretch AddIds(std::span<const int32_t> ids) {
    const Stretch stretch{static_cast<int32_t>(ids_.size()), static_cast<int32_t>(ids.size())};
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    return stretch;
  }

  std::vector<RowSpec> specs_;
  std::vector<int32_t> ids_;
  std::vector<Bias> biases_;
  std::vector<uint32_t> masks_;
};

// One row's best ids as the device gave them, with their logprobs.
void SetTop(const RowResult& row, std::span<TopResult> tops, int64_t vocab, SampledRow* out) {
  if (row.num_top == vocab) {
    std::sort(tops.begin(), tops.end(), [](const TopResult& a, const TopResult& b) {
      return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    });
  }
  out->top.reserve(tops.size());
  for (const TopResult& top : tops) {
    out->top.emplace_back(top.id, static_cast<float>(static_cast<double>(top.logit) - row.max - row.log_sum));
  }
}

// Takes the results' memory; they reach `sampled` when the walk has run: first all of the rows, then their best ids.
Results TakeResults(std::span<SampledRow> sampled, int max_top, int64_t vocab, Step& step) {
  Results results{.max_top = max_top};
  const int64_t count = static_cast<int64_t>(sampled.size());
  const auto rows = std::make_shared<std::vector<RowResult>>();  // both callbacks want them
  results.rows = step.Result<RowResult>(count, [sampled, rows](const RowResult* row) {
    rows->assign(row, row + sampled.size());
    for (SampledRow& out : sampled) {
      out = {.token = row->token, .logprob = row->logprob, .rank = row->rank, .top = {}};
      ++row;
    }
  });
  if (max_top == 0) return results;
  results.tops = step.Result<TopResult>(count * max_top, [sampled, rows, max_top, vocab](const TopResult* tops) {
    std::vector<TopResult> mine;
    for (size_t i = 0; i < sampled.size(); ++i, tops += max_top) {
      mine.assign(tops, tops + (*rows)[i].num_top);
      SetTop((*rows)[i], mine, vocab, &sampled[i]);
    }
  });
  return results;
}

LaunchConfig ConfigFor(const TensorView& logits, const Step& step) {
  CHECK_LE(logits.cols, int64_t{kMaxVocab});
  const int64_t threads = CeilDiv(CeilDiv(logits.cols, 16), kWarp) * kWarp;
  return {.grid = static_cast<unsigned>(logits.rows),
          .block = static_cast<unsigned>(std::min<int64_t>(threads, kSampleThreads)),
          .stream = step.stream()};
}

}  // namespace

void Sample(const SampleArgs& args, Step& step) {
  Scratch::Scope scope(step.scratch());
  const int64_t rows = args.logits.rows, vocab = args.logits.cols;
  float* const raws = step.scratch().Array<float>(rows * vocab);
  unsigned* const counters = step.scratch().Array<unsigned>(rows * vocab);
  if (step.measuring() || rows == 0) return;
  static thread_local RowPacker packer;
  packer.Pack(args.rows, vocab);
  int64_t max_top = 0;
  for (const SampleRow& row : args.rows) max_top = std::max<int64_t>(max_top, row.top_logprobs);
  const Results results = TakeResults(args.sampled, static_cast<int>(std::min(max_top, vocab)), vocab, step);
  Launch(SampleKernel, ConfigFor(args.logits, step), args.logits.f32(), args.logits.stride, static_cast<int>(vocab),
         packer.Place(step), raws, counters, results);
}

void TokenLogprobs(const TokenLogprobsArgs& args, Step& step) {
  if (step.measuring() || args.logits.rows == 0) return;
  int64_t max_top = 0;
  for (int32_t top : args.top) max_top = std::max<int64_t>(max_top, top);
  const Results results = TakeResults(args.sampled, static_cast<int>(std::min(max_top, args.logits.cols)), args.logits.cols, step);
  Launch(TokenLogprobsKernel, ConfigFor(args.logits, step), args.logits.f32(), args.logits.stride,
         static_cast<int>(args.logits.cols), step.Place(args.tokens), step.Place(args.top), results);
}

}  // namespace braid::cuda
