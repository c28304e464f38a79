// Online softmax over tiles of 32 positions at absolute multiples of 32.
// A unit is one KV head of one sequence and up to 32 queries: rows of the chunk times heads of the group, so that a
// tile is read and widened for all of them. Scores have positions as lanes and add up over head_dim in order; values
// have head_dim as lanes and add up over positions in order. Each query's chains are its own: its bits depend neither
// on the unit that it is in nor on register blocks. Positions past a query's own weigh exactly 0 and their values are
// never multiplied; those before its window weigh 0 too, and tiles that all of a unit are past are not read. Bound by the cache's bytes in decode, by FMAs in prefill.
#include "kernels/attention/attention.h"

#include "kernels/base/team.h"
#include "kernels/scratch.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

constexpr int kTile = 32;
constexpr int kUnitQueries = 32;
// Queries of a register block at most, and accumulators of one.
constexpr int kMaxBlock = BRAID_ISA_LEVEL >= 2 ? 8 : 2;
constexpr int kAccumulators = BRAID_ISA_LEVEL >= 2 ? 16 : 4;
constexpr float kMinusInfinity = -__builtin_inff();

struct F32Words {
  using Word = float;
  BRAID_WORD static V16 Read(const float* p) { return Load(p); }
  BRAID_WORD static V16 Read(const float* p, int n) { return Load(p, n); }
};
struct F16Words {
  using Word = uint16_t;
  BRAID_WORD static V16 Read(const uint16_t* p) { return LoadF16(p); }
  BRAID_WORD static V16 Read(const uint16_t* p, int n) { return LoadF16(p, n); }
};
struct Bf16Words {
  using Word = uint16_t;
  BRAID_WORD static V16 Read(const uint16_t* p) { return LoadBf16(p); }
  BRAID_WORD static V16 Read(const uint16_t* p, int n) { return LoadBf16(p, n); }
};

// One member's memory, for up to `queries` of a unit.
struct Buffers {
  float* q;        // register blocks one behind the other, each [head_dim, block]
  float* weights;  // [queries, kTile] scores, then softmax weights
  float* out;      // [queries, head_dim padded to 16] weighted sum of values so far
  float* sums;     // [queries, 16] lanes of the sum of weights
  float* max;      // [queries] largest score so far
  float* decay;    // [queries] what a tile multiplies the sums so far by
  static int64_t Words(int64_t queries, int64_t head_dim) {
    return queries * (head_dim + kTile + (head_dim + 15) / 16 * 16 + kLanes + 16 + 16);
  }
};

struct Unit {
  const AttentionArgs* args;
  const SequenceSpan* span;
  int kv_head;
  int first;    // token of the span
  int rows;     // tokens
  int group;    // query heads of the KV head
  int queries() const { return rows * group; }
  int head(int query) const { return kv_head * group + query % group; }
  int position(int query) const { return span->start + first + query / group; }
  // The first position that a query sees.
  int reach(int query) const {
    const int first = args->first < position(query) ? args->first : position(query);
    const int seen = position(query) - args->window + 1;
    return args->window > 0 && seen > first ? seen : first;
  }
  int64_t row(int query) const { return span->first_row + first + query / group; }
  int64_t column(int query) const { return int64_t{head(query)} * args->cache.head_dim; }
};

// K and V of one tile: two halves of 16 positions, the second null when no query reaches it.
template <class Words>
struct Tile {
  const typename Words::Word* k[2];  // [head_dim, block_size], 16 columns of it
  const typename Words::Word* v[2];  // [16, head_dim]
};

template <class Words>
Tile<Words> TileAt(const Unit& unit, int position, int last) {
  const KvLayer& cache = unit.args->cache;
  Tile<Words> tile = {};
  for (int half = 0; half < 2; ++half, position += kLanes) {
    if (position > last) break;
    const int64_t block = unit.span->blocks[position / cache.block_size];
    const auto* const head = reinterpret_cast<const typename Words::Word*>(cache.data) +
                             (block * cache.kv_heads + unit.kv_head) * cache.head_elements();
    const int64_t row = position % cache.block_size, dim = cache.head_dim;
    tile.k[half] = head + row;
    tile.v[half] = head + cache.block_size * dim + row * dim;
  }
  return tile;
}

// scores[i][s] = q[i] . k[s] for kBlock queries and kHalves * 16 positions.
template <class Words, int kBlock, int kHalves>
void Scores(const Tile<Words>& tile, int head_dim, int64_t block_size, const float* q, float* scores) {
  V16 sums[kBlock][kHalves];
  for (int i = 0; i < kBlock; ++i) {
    for (int half = 0; half < kHalves; ++half) sums[i][half] = Zero();
  }
  for (int d = 0; d < head_dim; ++d, q += kBlock) {
    V16 k[kHalves];
    for (int half = 0; half < kHalves; ++half) k[half] = Words::Read(tile.k[half] + d * block_size);
    for (int i = 0; i < kBlock; ++i) {
      const V16 x = Set1(q[i]);
      for (int half = 0; half < kHalves; ++half) sums[i][half] = Fma(x, k[half], sums[i][half]);
    }
  }
  for (int i = 0; i < kBlock; ++i) {
    for (int half = 0; half < kHalves; ++half) Store(scores + i * kTile + half * kLanes, sums[i][half]);
  }
}

// Lane 0 of e^x.
BRAID_WORD float ExpOf(float x) {
  float lanes[kLanes];
  Store(lanes, Exp(Set1(x)));
  return lanes[0];
}

constexpr float kSteps[kTile] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

// Half of a query's scores as the softmax takes them: those of the tile's positions [begin, end), else -inf. `offset` is
// how far the tile begins behind the query.
BRAID_WORD V16 HalfScores(const float* scores, int half, int begin, int end, float scale, float slope, float offset) {
  const int first = half * kLanes;
  const V16 low = Set1(kMinusInfinity);
  if (end <= first || begin >= first + kLanes) return low;
  V16 s = Load(scores + first) * Set1(scale);
  if (slope != 0) s = Fma(Set1(slope), Load(kSteps + first) + Set1(offset), s);
  if (begin > first) s = KeepFirst(low, begin - first, s);
  return KeepFirst(s, end - first < kLanes ? end - first : kLanes, low);
}

// Turns a query's scores of the tile's positions [begin, end) into weights; moves its max, sums and decay on.
void Soften(const Unit& unit, const Buffers& buffers, int query, int start, int begin, int end) {
  float* const weights = buffers.weights + query * kTile;
  if (begin >= end) {
    buffers.decay[query] = 1.0f;
    Store(weights, Zero());
    Store(weights + kLanes, Zero());
    return;
  }
  const float scale = unit.args->scale, slope = unit.args->slopes != nullptr ? unit.args->slopes[unit.head(query)] : 0;
  const float offset = static_cast<float>(start - unit.position(query));
  const V16 s0 = HalfScores(weights, 0, begin, end, scale, slope, offset);
  const V16 s1 = HalfScores(weights, 1, begin, end, scale, slope, offset);
  const float tile_max = MaxLane(Max(s0, s1)), old_max = buffers.max[query];
  const float max = old_max < tile_max ? tile_max : old_max;
  const V16 p0 = Exp(s0 - Set1(max)), p1 = Exp(s1 - Set1(max));
  const float decay = old_max == max ? 1.0f : ExpOf(old_max - max);
  float* const sums = buffers.sums + query * kLanes;
  Store(sums, Fma(Load(sums), Set1(decay), p0 + p1));
  Store(weights, p0);
  Store(weights + kLanes, p1);
  buffers.max[query] = max;
  buffers.decay[query] = decay;
}

// out[i][d] = out[i][d] * decay[i] + sum_s weights[i][s] v[s][d] for kBlock queries, s in [begin, end) and kWidth * 16
// columns of V, or fewer than 16: `lanes`.
template <class Words, int kBlock, int kWidth>
BRAID_WORD void ValueColumns(const Tile<Words>& tile, int64_t head_dim, int64_t d, int lanes, int begin, int end,
                             const float* weights, const float* decay, float* out, int64_t stride) {
  V16 sums[kBlock][kWidth];
  for (int i = 0; i < kBlock; ++i) {
    for (int j = 0; j < kWidth; ++j) sums[i][j] = Load(out + i * stride + d + j * kLanes) * Set1(decay[i]);
  }
  for (int s = begin; s < end; ++s) {
    const typename Words::Word* const row = tile.v[s / kLanes] + s % kLanes * head_dim + d;
    V16 v[kWidth];
    for (int j = 0; j < kWidth; ++j) v[j] = lanes == kLanes ? Words::Read(row + j * kLanes) : Words::Read(row, lanes);
    for (int i = 0; i < kBlock; ++i) {
      const V16 p = Set1(weights[i * kTile + s]);
      for (int j = 0; j < kWidth; ++j) sums[i][j] = Fma(p, v[j], sums[i][j]);
    }
  }
  for (int i = 0; i < kBlock; ++i) {
    for (int j = 0; j < kWidth; ++j) Store(out + i * stride + d + j * kLanes, sums[i][j]);
  }
}

template <class Words, int kBlock>
void Values(const Tile<Words>& tile, int64_t head_dim, int begin, int end, const float* weights, const float* decay,
            float* out) {
  constexpr int kWidth = kAccumulators / kBlock > 8 ? 8 : kAccumulators / kBlock;
  const int64_t stride = (head_dim + 15) / 16 * 16;
  int64_t d = 0;
  for (; d + kWidth * kLanes <= head_dim; d += kWidth * kLanes) {
    ValueColumns<Words, kBlock, kWidth>(tile, head_dim, d, kLanes, begin, end, weights, decay, out, stride);
  }
  for (; d + kLanes <= head_dim; d += kLanes) {
    ValueColumns<Words, kBlock, 1>(tile, head_dim, d, kLanes, begin, end, weights, decay, out, stride);
  }
  if (d < head_dim) {
    const int lanes = static_cast<int>(head_dim - d);
    ValueColumns<Words, kBlock, 1>(tile, head_dim, d, lanes, begin, end, weights, decay, out, stride);
  }
}

// One tile that begins at `start` for the kBlock queries from `query` on.
template <class Words, int kBlock>
void AttendTile(const Unit& unit, const Buffers& buffers, const Tile<Words>& tile, int start, int query) {
  const KvLayer& cache = unit.args->cache;
  const int64_t dim = cache.head_dim, stride = (dim + 15) / 16 * 16;
  const int reach = unit.position(query + kBlock - 1) - start + 1;
  if (reach <= 0 || unit.reach(query) >= start + kTile) return;
  float* const weights = buffers.weights + query * kTile;
  if (reach > kLanes) {
    Scores<Words, kBlock, 2>(tile, cache.head_dim, cache.block_size, buffers.q + query * dim, weights);
  } else {
    Scores<Words, kBlock, 1>(tile, cache.head_dim, cache.block_size, buffers.q + query * dim, weights);
  }
  int count[kBlock];  // positions of the tile that each query sees, not falling
  for (int i = 0; i < kBlock; ++i) {
    const int n = unit.position(query + i) - start + 1;
    count[i] = n < 0 ? 0 : n < kTile ? n : kTile;
    const int begin = unit.reach(query + i) - start;
    Soften(unit, buffers, query + i, start, begin < 0 ? 0 : begin, count[i]);
  }
  float* const out = buffers.out + query * stride;
  Values<Words, kBlock>(tile, dim, 0, count[0], weights, buffers.decay + query, out);
  const float one = 1.0f;
  for (int i = 1; i < kBlock; ++i) {
    if (count[i] == count[0]) continue;
    Values<Words, 1>(tile, dim, count[0], count[i], weights + i * kTile, &one, out + i * stride);
  }
}

// The size of the register block at `query` of `queries`.
BRAID_WORD int BlockAt(int query, int queries) {
  int block = kMaxBlock;
  while (block > queries - query) block /= 2;
  return block;
}

// Lays the unit's queries out by register blocks, so that a block's broadcasts lie side by side.
void LoadQueries(const Unit& unit, const Buffers& buffers) {
  const int dim = unit.args->cache.head_dim, queries = unit.queries();
  for (int query = 0, block = 0; query < queries; query += block) {
    block = BlockAt(query, queries);
    for (int i = 0; i < block; ++i) {
      const float* const q = unit.args->q.row(unit.row(query + i)) + unit.column(query + i);
      for (int d = 0; d < dim; ++d) buffers.q[int64_t{query} * dim + d * block + i] = q[d];
    }
  }
}

void StoreOutputs(const Unit& unit, const Buffers& buffers) {
  const int dim = unit.args->cache.head_dim, stride = (dim + 15) / 16 * 16;
  for (int query = 0; query < unit.queries(); ++query) {
    const V16 sum = Set1(Sum(Load(buffers.sums + query * kLanes)));
    float* const out = unit.args->out.row(unit.row(query)) + unit.column(query);
    for (int d = 0; d < dim; d += kLanes) {
      Store(out + d, Load(buffers.out + query * stride + d) / sum, dim - d < kLanes ? dim - d : kLanes);
    }
  }
}

template <class Words>
void RunUnit(const Unit& unit, const Buffers& buffers) {
  const int dim = unit.args->cache.head_dim, stride = (dim + 15) / 16 * 16, queries = unit.queries();
  LoadQueries(unit, buffers);
  memset(buffers.out, 0, sizeof(float) * static_cast<size_t>(queries) * static_cast<size_t>(stride));
  memset(buffers.sums, 0, sizeof(float) * static_cast<size_t>(queries) * kLanes);
  for (int i = 0; i < queries; ++i) {
    const float* const sinks = unit.args->sinks;
    buffers.max[i] = sinks != nullptr ? sinks[unit.head(i)] : kMinusInfinity;
    if (sinks != nullptr) buffers.sums[i * kLanes] = 1.0f;  // e^(sink - max)
  }
  const int last = unit.position(queries - 1);
  for (int start = unit.reach(0) / kTile * kTile; start <= last; start += kTile) {
    const Tile<Words> tile = TileAt<Words>(unit, start, last);
    for (int query = 0, block = 0; query < queries; query += block) {
      block = BlockAt(query, queries);
      if (block == 1) AttendTile<Words, 1>(unit, buffers, tile, start, query);
      if (block == 2) AttendTile<Words, 2>(unit, buffers, tile, start, query);
      if constexpr (kMaxBlock > 2) {
        if (block == 4) AttendTile<Words, 4>(unit, buffers, tile, start, query);
        if (block == 8) AttendTile<Words, 8>(unit, buffers, tile, start, query);
      }
    }
  }
  StoreOutputs(unit, buffers);
}

// Calls visit(unit, cost) for every unit of the batch, in the same order on every member.
template <class Visit>
void ForEachUnit(const AttentionArgs& args, const Visit& visit) {
  const int group = args.heads / args.cache.kv_heads;
  const int rows = group >= kUnitQueries ? 1 : kUnitQueries / group;
  const SequenceSpan* const spans = args.batch->sequences.data();
  for (size_t i = 0; i < args.batch->sequences.size(); ++i) {
    for (int head = 0; head < args.cache.kv_heads; ++head) {
      for (int t = 0; t < spans[i].num_tokens; t += rows) {
        const int count = spans[i].num_tokens - t < rows ? spans[i].num_tokens - t : rows;
        const Unit unit = {&args, &spans[i], head, t, count, group};
        const int64_t tiles = (spans[i].start + t + count + kTile - 1) / kTile - unit.reach(0) / kTile;
        // A tile costs its bytes once and its FMAs per query.
        visit(unit, tiles * (4 + count * group) + 4);
      }
    }
  }
}

template <class Words>
void RunShare(const AttentionArgs& args, const Share& share, const Buffers& buffers) {
  int64_t total = 0;
  ForEachUnit(args, [&](const Unit&, int64_t cost) { total += cost; });
  const Share::Range range = share.Of(total);
  int64_t at = 0;
  ForEachUnit(args, [&](const Unit& unit, int64_t cost) {
    if (at >= range.begin && at < range.end) RunUnit<Words>(unit, buffers);
    at += cost;
  });
}

}  // namespace

void Attention(const AttentionArgs& args, const Share& share, Scratch& scratch) {
  Scratch::Scope scope(scratch);
  const int64_t group = args.heads / args.cache.kv_heads, queries = group > kUnitQueries ? group : kUnitQueries;
  const int64_t dim = args.cache.head_dim, stride = (dim + 15) / 16 * 16;
  const int64_t words = (Buffers::Words(queries, dim) + 15) / 16 * 16;
  float* const memory = scratch.Array<float>(words * share.count);
  if (scratch.measuring()) return;
  Buffers buffers;
  buffers.out = memory + words * share.index;
  buffers.weights = buffers.out + queries * stride;
  buffers.sums = buffers.weights + queries * kTile;
  buffers.q = buffers.sums + queries * kLanes;
  buffers.max = buffers.q + queries * dim;
  buffers.decay = buffers.max + queries;
  if (args.cache.dtype == DType::kF32) RunShare<F32Words>(args, share, buffers);
  if (args.cache.dtype == DType::kF16) RunShare<F16Words>(args, share, buffers);
  if (args.cache.dtype == DType::kBF16) RunShare<Bf16Words>(args, share, buffers);
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
