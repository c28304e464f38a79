// A row is never sorted: greedy is two scans; top-k keeps a threshold and looks at what beats it; top-p sums the mass
// of 2048 bands of logits, then orders the band in which the wanted mass is reached. Scans go by 4 lanes (SSE2) of plain
// vector arithmetic; masses add up in f64. Rows are split over members.
#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu_ops.h"
#include "kernels/sample/draw.h"
#include "kernels/sample/sample.h"

namespace braid::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int kLanes = 4;
using Floats [[gnu::vector_size(16)]] = float;
using Ints [[gnu::vector_size(16)]] = int32_t;
using Doubles [[gnu::vector_size(32)]] = double;

Floats Load(const float* p) {
  Floats v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

// The last lanes of a row of n elements, from i on; `fill` past its end.
Floats LoadTail(const float* p, int64_t i, int64_t n, float fill) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, fill);
  std::copy(p + i, p + n, lanes);
  return Load(lanes);
}

Floats LoadAt(const float* p, int64_t i, int64_t n, float fill) {
  return n - i >= kLanes ? Load(p + i) : LoadTail(p, i, n, fill);
}

bool Any(Ints mask) {
  std::array<uint64_t, 2> words;
  std::memcpy(words.data(), &mask, sizeof(mask));
  uint64_t any = 0;
  for (uint64_t word : words) any |= word;
  return any != 0;
}

// e^x for x <= 0 within 2 ulp: x = n ln 2 + r, a polynomial in r; 0 below -87.
Floats Exp(Floats x) {
  const Floats n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;  // adding 1.5 * 2^23 rounds
  const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  Floats p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const Floats in_range = x < -87.0f ? Floats{} : n;
  const Ints bits = (__builtin_convertvector(in_range, Ints) + 127) << 23;
  Floats power;
  std::memcpy(&power, &bits, sizeof(power));
  return x < -87.0f ? Floats{} : p * power;
}

// The largest logit; NaN when the row holds NaN or +inf or nothing but -inf.
float FiniteMax(const float* x, int64_t n) {
  Floats max = Floats{} - kInfinity;
  Ints bad = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const Floats v = LoadAt(x, i, n, -kInfinity);
    bad |= ~(v <= FLT_MAX);
    max = v > max ? v : max;
  }
  float best = -kInfinity;
  for (int j = 0; j < kLanes; ++j) best = std::max<float>(best, max[j]);
  return Any(bad) || best == -kInfinity ? std::numeric_limits<float>::quiet_NaN() : best;
}

int32_t FirstEqual(const float* x, int64_t n, float value) {
  int64_t i = 0;
  while (i + kLanes <= n && !Any(Load(x + i) == value)) i += kLanes;
  while (x[i] != value) ++i;
  return static_cast<int32_t>(i);
}

// Returns the sum of e^((x - max) * inverse_temperature), and the terms in `weights` unless that is null.
double Weigh(const float* x, int64_t n, float max, float inverse_temperature, float* weights) {
  Doubles sums = {};
  for (int64_t i = 0; i < n; i += kLanes) {
    const Floats p = Exp((LoadAt(x, i, n, -kInfinity) - max) * inverse_temperature);
    if (weights != nullptr) std::memcpy(weights + i, &p, sizeof(float) * static_cast<size_t>(std::min<int64_t>(n - i, kLanes)));
    sums += __builtin_convertvector(p, Doubles);
  }
  double sum = 0;
  for (int j = 0; j < kLanes; ++j) sum += sums[j];
  return sum;
}

struct Candidate {
  float logit;
  int32_t id;
  bool operator<(const Candidate& other) const {  // better first
    return logit != other.logit ? logit > other.logit : id < other.id;
  }
};
using Candidates = std::vector<Candidate>;

// The k best of a row, best first. Holds at most 2k + 64 at a time; what does not beat the k-th best so far is skipped.
Candidates Best(const float* x, int64_t n, int64_t k) {
  k = std::min(k, n);
  Candidates best;
  if (k <= 0) return best;
  const size_t room = static_cast<size_t>(2 * k + 64);
  best.reserve(room);
  float bar = -kInfinity;
  bool full = false;
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t end = std::min<int64_t>(n, i + kLanes);
    if (full && end - i == kLanes && !Any(Load(x + i) > bar)) continue;
    for (int64_t j = i; j < end; ++j) {
      if (full && !(x[j] > bar)) continue;  // an equal one has a higher id
      best.push_back({x[j], static_cast<int32_t>(j)});
      if (best.size() < room) continue;
      std::nth_element(best.begin(), best.begin() + (k - 1), best.end());
      best.resize(static_cast<size_t>(k));
      bar = best.back().logit;
      full = true;
    }
  }
  std::sort(best.begin(), best.end());
  best.resize(static_cast<size_t>(k));
  return best;
}

// ---- logprobs

// log(sum e^x) as the largest logit and the rest.
struct LogSum {
  double max;
  double log_sum;
  float LogprobOf(float logit) const { return static_cast<float>(logit - max - log_sum); }
};

LogSum LogSumOf(const float* x, int64_t n, float max) { return {max, std::log(Weigh(x, n, max, 1.0f, nullptr))}; }

// 1 and the ids that come before `id`: by falling logit, then by id.
int32_t RankOf(const float* x, int64_t n, int32_t id) {
  const float logit = x[id];
  int32_t before = 0;
  for (int64_t i = 0; i < id; ++i) before += x[i] >= logit;
  for (int64_t i = id + 1; i < n; ++i) before += x[i] > logit;
  return before + 1;
}

void SetLogprobs(const float* raw, int64_t n, const LogSum& sum, int32_t top, SampledRow& out) {
  out.logprob = sum.LogprobOf(raw[out.token]);
  out.rank = RankOf(raw, n, out.token);
  out.top.clear();
  for (const Candidate& best : Best(raw, n, top)) out.top.push_back({best.id, sum.LogprobOf(best.logit)});
}

// ---- what changes logits

bool Changes(const SampleRow& row) {
  const bool penalized = row.frequency_penalty != 0 || row.presence_penalty != 0 || row.repetition_penalty != 1;
  return row.mask != nullptr || !row.allowed_ids.empty() || !row.banned_ids.empty() || !row.logit_bias.empty() ||
         penalized;
}

void ApplyMask(const uint32_t* mask, float* x, int64_t n) {
  for (int64_t i = 0; i < n; i += 32) {
    const uint32_t word = mask[i / 32];
    if (word == ~0u) continue;
    const int64_t end = std::min<int64_t>(n, i + 32);
    for (int64_t j = i; j < end; ++j) {
      if ((word >> (j - i) & 1) == 0) x[j] = -kInfinity;
    }
  }
}

void KeepAllowed(std::span<const int32_t> ids, float* x, int64_t n) {
  Candidates kept;
  for (int32_t id : ids) {
    if (id >= 0 && id < n) kept.push_back({x[id], id});
  }
  std::fill_n(x, n, -kInfinity);
  for (const Candidate& candidate : kept) x[candidate.id] = candidate.logit;
}

// Applies `change(logit, count in output)` once to each id of the prompt and the output.
template <class Change>
void ForEachSeen(const SampleRow& row, float* x, int64_t n, const Change& change) {
  // One counter an id, all zero between calls; a member's own.
  static thread_local std::vector<uint32_t> counters;
  constexpr uint32_t kInPrompt = 1u << 31;
  if (counters.size() < static_cast<size_t>(n)) counters.resize(static_cast<size_t>(n));
  const auto known = [&](int32_t id) { return id >= 0 && id < n; };
  for (int32_t id : row.output) {
    if (known(id)) ++counters[id];
  }
  for (int32_t id : row.prompt) {
    if (known(id)) counters[id] |= kInPrompt;
  }
  for (std::span<const int32_t> ids : {row.output, row.prompt}) {
    for (int32_t id : ids) {
      if (!known(id) || counters[id] == 0) continue;
      change(x[id], counters[id] & ~kInPrompt);
      counters[id] = 0;
    }
  }
}

void ApplyPenalties(const SampleRow& row, float* x, int64_t n) {
  if (row.frequency_penalty == 0 && row.presence_penalty == 0 && row.repetition_penalty == 1) return;
  ForEachSeen(row, x, n, [&](float& logit, uint32_t count) {
    logit = logit > 0 ? logit / row.repetition_penalty : logit * row.repetition_penalty;
    if (count > 0) logit -= row.frequency_penalty * static_cast<float>(count) + row.presence_penalty;
  });
}

void Change(const SampleRow& row, float* x, int64_t n) {
  if (row.mask != nullptr) ApplyMask(row.mask, x, n);
  if (!row.allowed_ids.empty()) KeepAllowed(row.allowed_ids, x, n);
  for (int32_t id : row.banned_ids) {
    if (id >= 0 && id < n) x[id] = -kInfinity;
  }
  for (auto [id, bias] : row.logit_bias) {
    if (id >= 0 && id < n) x[id] += bias;
  }
  ApplyPenalties(row, x, n);
}

// ---- the draw

// The first index whose running sum of weights exceeds u times their total.
int64_t DrawIndex(const std::vector<float>& weights, double u) {
  constexpr size_t kBlock = 256;
  static thread_local std::vector<double> blocks;
  blocks.clear();
  for (size_t i = 0; i < weights.size(); i += kBlock) {
    double sums[8] = {};
    const size_t end = std::min(weights.size(), i + kBlock);
    for (size_t j = i; j < end; ++j) sums[j % 8] += weights[j];
    blocks.push_back(((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7])));
  }
  double total = 0;
  for (double block : blocks) total += block;
  const double target = u * total;
  double mass = 0;
  size_t first = 0;
  while (first + 1 < blocks.size() && mass + blocks[first] <= target) mass += blocks[first++];
  int64_t last = -1;  // rounding may leave the target past the end: then the last one of any weight
  for (size_t i = first * kBlock; i < weights.size(); ++i) {
    if (weights[i] <= 0) continue;
    last = static_cast<int64_t>(i);
    mass += weights[i];
    if (mass > target) return last;
  }
  for (size_t i = weights.size(); last < 0 && i-- > 0;) {
    if (weights[i] > 0) last = static_cast<int64_t>(i);
  }
  return last;
}

// The bands of logits that top-p sums: band b begins b * range / (kBands - 1) below the best; all that lies further
// below shares the last.
constexpr int kBands = 2048;

// Writes the band of each logit, in whole groups of kLanes.
void SetBands(const float* x, int64_t n, float max, double range, std::vector<int32_t>& bands) {
  const float per_width = static_cast<float>((kBands - 1) / range);
  const Floats last = Floats{} + (kBands - 1.0f);
  bands.resize(static_cast<size_t>((n + kLanes - 1) / kLanes * kLanes));
  for (int64_t i = 0; i < n; i += kLanes) {
    const Floats at = (max - LoadAt(x, i, n, -kInfinity)) * per_width;
    const Ints band = __builtin_convertvector(at < last ? at : last, Ints);
    std::memcpy(bands.data() + i, &band, sizeof(band));
  }
}

// The member of `band` at which the weights from the best on reach `need`. Halves the band around its median, so that
// a band of equals costs no sort.
Candidate Crossing(Candidates& band, const std::vector<float>& weights, double need) {
  auto low = band.begin(), high = band.end();
  while (high - low > 1) {
    const auto middle = low + (high - low) / 2;
    std::nth_element(low, middle, high);
    double mass = 0;
    for (auto at = low; at != middle; ++at) mass += weights[at->id];
    if (mass >= need) {
      high = middle;
    } else {
      need -= mass;
      low = middle;
    }
  }
  return *low;
}

// The last candidate, from the best on, of the smallest set whose weights reach top_p of `total`.
Candidate TopPLimit(const float* x, const std::vector<float>& weights, float max, const SampleRow& row, double total) {
  const int64_t n = static_cast<int64_t>(weights.size());
  // All weights below it together are less than half of what top-p may drop: the last band begins there.
  const double top_p = std::max(0.0f, row.top_p);
  const float floor = static_cast<float>(std::max(0.5 * (1 - top_p) * total / static_cast<double>(n), 1e-37));
  static thread_local std::vector<int32_t> bands;
  SetBands(x, n, max, -std::log(std::min<double>(floor, 0.5)) * row.temperature, bands);
  std::array<double, kBands> mass = {};
  for (int64_t i = 0; i < n; ++i) {
    mass[bands[i]] += weights[i];
  }
  double need = top_p * total;
  int band = 0;
  while (band + 1 < kBands && mass[band] < need) need -= mass[band++];
  while (band > 0 && mass[band] == 0) need = mass[--band];
  Candidates members;
  for (int64_t i = 0; i < n; ++i) {
    if (bands[i] == band) members.push_back({x[i], static_cast<int32_t>(i)});
  }
  return Crossing(members, weights, need);
}

// A member's memory for one row.
struct Draft {
  std::vector<float> weights;  // of the whole row
  std::vector<float> kept;     // weights that may be drawn,
  std::vector<int32_t> ids;    // and their ids, rising
};

void KeepWithin(const float* x, const SampleRow& row, Candidate limit, Draft& draft) {
  const float min_p = std::min(row.min_p, 1.0f);
  draft.kept.resize(draft.weights.size());
  draft.ids.resize(draft.weights.size());
  size_t count = 0;  // moved on without a branch: which ids are kept is hard to foresee
  for (int32_t id = 0; id < static_cast<int32_t>(draft.weights.size()); ++id) {
    draft.kept[count] = draft.weights[id];
    draft.ids[count] = id;
    const bool within = (x[id] > limit.logit) | ((x[id] == limit.logit) & (id <= limit.id));
    count += static_cast<size_t>(within & (draft.weights[id] >= min_p));
  }
  draft.kept.resize(count);
  draft.ids.resize(count);
}

// Top-k first: everything after it is about few candidates.
void KeepTopK(const float* x, int64_t n, float max, const SampleRow& row, Draft& draft) {
  Candidates best = Best(x, n, row.top_k);
  std::vector<float> logits, weights(best.size());
  for (const Candidate& candidate : best) logits.push_back(candidate.logit);
  const double total = Weigh(logits.data(), static_cast<int64_t>(logits.size()), max, 1 / row.temperature, weights.data());
  size_t kept = best.size();
  double mass = 0;
  for (size_t i = 0; i < kept && row.top_p < 1; ++i) {
    mass += weights[i];
    if (mass >= row.top_p * total) kept = i + 1;
  }
  while (kept > 1 && weights[kept - 1] < row.min_p) --kept;
  std::vector<std::pair<int32_t, float>> by_id;
  for (size_t i = 0; i < kept; ++i) by_id.push_back({best[i].id, weights[i]});
  std::sort(by_id.begin(), by_id.end());
  draft.kept.clear();
  draft.ids.clear();
  for (auto [id, weight] : by_id) {
    draft.ids.push_back(id);
    draft.kept.push_back(weight);
  }
}

int32_t Draw(const SampleRow& row, const float* x, int64_t n, float max) {
  static thread_local Draft draft;
  const double u = UniformDraw(row.seed, row.stream, row.position);
  if (row.top_k > 0 && row.top_k < n) {
    KeepTopK(x, n, max, row, draft);
    return draft.ids[DrawIndex(draft.kept, u)];
  }
  draft.weights.resize(static_cast<size_t>(n));
  const double total = Weigh(x, n, max, 1 / row.temperature, draft.weights.data());
  if (row.top_p >= 1 && row.min_p <= 0) return static_cast<int32_t>(DrawIndex(draft.weights, u));
  const Candidate all = {-kInfinity, std::numeric_limits<int32_t>::max()};
  KeepWithin(x, row, row.top_p < 1 ? TopPLimit(x, draft.weights, max, row, total) : all, draft);
  return draft.ids[DrawIndex(draft.kept, u)];
}

void SampleOne(const SampleRow& row, float* x, int64_t n, SampledRow& out) {
  out.token = -1;
  out.logprob = 0;
  out.rank = 0;
  out.top.clear();
  float max = FiniteMax(x, n);
  if (std::isnan(max)) return;
  const bool logprobs = row.top_logprobs >= 0, changes = Changes(row);
  static thread_local std::vector<float> copy;
  const float* raw = x;
  const LogSum sum = logprobs ? LogSumOf(x, n, max) : LogSum{};
  if (changes) {
    if (logprobs) copy.assign(x, x + n), raw = copy.data();
    Change(row, x, n);
    max = FiniteMax(x, n);
    if (std::isnan(max)) return;
  }
  out.token = row.temperature < kGreedyTemperature ? FirstEqual(x, n, max) : Draw(row, x, n, max);
  if (logprobs) SetLogprobs(raw, n, sum, row.top_logprobs, out);
}

}  // namespace

void Sample(const SampleArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const Share::Range range = share.Of(static_cast<int64_t>(args.rows.size()));
  for (int64_t i = range.begin; i < range.end; ++i) {
    SampleOne(args.rows[i], args.logits.row(i), args.logits.cols, args.sampled[i]);
  }
  share.Sync();
}

void TokenLogprobs(const TokenLogprobsArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const Share::Range range = share.Of(static_cast<int64_t>(args.tokens.size()));
  for (int64_t i = range.begin; i < range.end; ++i) {
    const float* const x = args.logits.row(i);
    const float max = FiniteMax(x, args.logits.cols);
    args.sampled[i] = {};
    if (std::isnan(max)) continue;
    args.sampled[i].token = args.tokens[i];
    SetLogprobs(x, args.logits.cols, LogSumOf(x, args.logits.cols, max), args.top[i], args.sampled[i]);
  }
  share.Sync();
}

}  // namespace braid::cpu
