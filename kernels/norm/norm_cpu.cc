// One pass for the sum of squares in four chains of 16 lanes, one to scale; rows (and groups) are split over members.
#include "kernels/norm/norm.h"

#include <math.h>

#include "kernels/base/team.h"
#include "kernels/scratch.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

BRAID_WORD int LanesAt(int64_t i, int64_t n) { return n - i < kLanes ? static_cast<int>(n - i) : kLanes; }

// The sum of word(x) over `n` values; word(0) of lanes behind the last is left out.
template <class Word>
BRAID_WORD float SumOf(const float* x, int64_t n, const Word& word) {
  V16 sums[4] = {Zero(), Zero(), Zero(), Zero()};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) sums[j] = word(Load(x + i + j * kLanes), sums[j]);
  }
  for (int j = 0; i < n; i += kLanes, ++j) {
    const int lanes = LanesAt(i, n);
    sums[j] = KeepFirst(word(Load(x + i, lanes), sums[j]), lanes, sums[j]);
  }
  return Sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

float SumOfSquares(const float* x, int64_t n) {
  return SumOf(x, n, [](V16 v, V16 sum) { return Fma(v, v, sum); });
}

void Normalize(const float* x, const float* weight, int64_t n, float eps, float* y) {
  const V16 scale = Set1(1.0f / sqrtf(SumOfSquares(x, n) / static_cast<float>(n) + eps));
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(y + i, Load(x + i) * scale * Load(weight + i));
  if (i < n) {
    const int lanes = LanesAt(i, n);
    Store(y + i, Load(x + i, lanes) * scale * Load(weight + i, lanes), lanes);
  }
}

void Standardize(const float* x, const float* weight, const float* bias, int64_t n, float eps, float* y) {
  const float mean = SumOf(x, n, [](V16 v, V16 sum) { return sum + v; }) / static_cast<float>(n);
  const float squares = SumOf(x, n, [mean](V16 v, V16 sum) { return Fma(v - Set1(mean), v - Set1(mean), sum); });
  const V16 scale = Set1(1.0f / sqrtf(squares / static_cast<float>(n) + eps));
  for (int64_t i = 0; i < n; i += kLanes) {
    const int lanes = LanesAt(i, n);
    const V16 v = (Load(x + i, lanes) - Set1(mean)) * scale;
    Store(y + i, Fma(v, Load(weight + i, lanes), Load(bias + i, lanes)), lanes);
  }
}

void Gate(const float* x, const float* gate, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) Store(y + i, Load(x + i) * Silu(Load(gate + i)));
  if (i < n) {
    const int lanes = LanesAt(i, n);
    Store(y + i, Load(x + i, lanes) * Silu(Load(gate + i, lanes)), lanes);
  }
}

void Multiply(const float* factors, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += kLanes) {
    const int lanes = LanesAt(i, n);
    Store(y + i, Load(y + i, lanes) * Load(factors + i, lanes), lanes);
  }
}

void GateAndNormalize(GatePlace place, const float* x, const float* gate, const float* weight, int64_t n, float eps,
                      float* y) {
  switch (place) {
    case GatePlace::kBeforeNorm:
      Gate(x, gate, n, y);
      return Normalize(y, weight, n, eps, y);
    case GatePlace::kBehindNorm:
      Normalize(x, weight, n, eps, y);
      return Gate(y, gate, n, y);
    case GatePlace::kWithoutNorm:
      Gate(x, gate, n, y);
      return Multiply(weight, n, y);
  }
}

}  // namespace

void RmsNorm(const RmsNormArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const int64_t size = args.x.cols / args.groups;
  const Share::Range range = share.Of(args.x.rows * args.groups);
  for (int64_t unit = range.begin; unit < range.end; ++unit) {
    const int64_t t = unit / args.groups, first = unit % args.groups * size;
    Normalize(args.x.row(t) + first, args.weight, size, args.eps, args.y.row(t) + first);
  }
  share.Sync();
}

void LayerNorm(const LayerNormArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const Share::Range range = share.Of(args.x.rows);
  for (int64_t t = range.begin; t < range.end; ++t) {
    Standardize(args.x.row(t), args.weight, args.bias, args.x.cols, args.eps, args.y.row(t));
  }
  share.Sync();
}

void GatedRmsNorm(const GatedRmsNormArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const int64_t size = args.x.cols / args.groups;
  const Share::Range range = share.Of(args.x.rows * args.groups);
  for (int64_t unit = range.begin; unit < range.end; ++unit) {
    const int64_t t = unit / args.groups, first = unit % args.groups * size;
    GateAndNormalize(args.place, args.x.row(t) + first, args.gate.row(t) + first, args.weight + first, size, args.eps,
                     args.y.row(t) + first);
  }
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
