#include "models/blocks/sharding.h"

namespace braid {
namespace {

// Units that come one to each rank, several, or one to several ranks.
struct Units {
  int first = 0, count = 0;
};

bool Divides(int64_t a, int64_t b) { return a > 0 && b % a == 0; }

// This rank's of `units`, or a copy of the one it shares.
Units UnitsOf(int units, RankPlace place) {
  if (Divides(place.size, units)) return {units / place.size * place.rank, units / place.size};
  return {static_cast<int>(int64_t{units} * place.rank / place.size), 1};
}

// Whether `units` can be shared: evenly, or where `copies` are made also by several ranks each.
bool CanShare(const WeightLoader& w, int units, const char* what, bool copies) {
  const int ranks = w.place().size;
  if (Divides(ranks, units) || (copies && Divides(units, ranks))) return true;
  w.Fail(absl::StrCat("--tensor-parallel: ", ranks, " ranks cannot share ", units, " ", what, " evenly"));
  return false;
}

Axis Times(int units, Units mine, int64_t size) {
  return Axis::Part(units * size, mine.first * size, (mine.first + mine.count) * size);
}

}  // namespace

AttentionShards ShardAttention(const WeightLoader& w, const AttentionShape& whole) {
  const bool can = CanShare(w, whole.heads, "attention heads", false) &&
                   CanShare(w, whole.kv_heads, "heads of keys and values", true);
  const RankPlace place = can ? w.place() : RankPlace{};
  const Units heads = UnitsOf(whole.heads, place), kv = UnitsOf(whole.kv_heads, place);
  AttentionShape mine = whole;
  mine.heads = heads.count;
  mine.kv_heads = kv.count;
  return {.shape = mine,
          .heads = Times(whole.heads, heads, 1),
          .q = Times(whole.heads, heads, whole.head_dim),
          .kv = Times(whole.kv_heads, kv, whole.head_dim)};
}

MambaShards ShardMamba(const WeightLoader& w, const MambaConfig& whole) {
  const bool can = CanShare(w, whole.num_heads, "Mamba heads", false) && CanShare(w, whole.num_groups, "Mamba groups", true);
  const RankPlace place = can ? w.place() : RankPlace{};
  const Units heads = UnitsOf(whole.num_heads, place), groups = UnitsOf(whole.num_groups, place);
  const bool shares_group = place.size > whole.num_groups;
  const Axis inner = Times(whole.num_heads, heads, whole.head_dim);
  const Axis bc = Times(whole.num_groups, groups, whole.state_size), dt = Times(whole.num_heads, heads, 1);
  MambaConfig mine = whole;
  mine.num_heads = heads.count;
  mine.num_groups = groups.count;
  return {.config = mine,
          .heads = dt,
          .inner = inner,
          .in_proj = Joined({inner, inner, bc, bc, dt}),
          .conv = Joined({inner, bc, bc}),
          .shares_group = shares_group,
          .norm = shares_group ? Times(whole.num_groups, groups, whole.inner_size() / whole.num_groups) : inner,
          .whole_inner = whole.inner_size()};
}

Axis ShardWidth(const WeightLoader& w, int64_t width, std::string_view down) {
  const RankPlace place = w.place();
  if (place.alone()) return Whole(width);
  const int64_t grain = w.ColumnGrain(down);
  const std::vector<int64_t> borders = Borders(width, grain, place.size);
  if (borders[1] == 0) {
    w.Fail(absl::StrCat("--tensor-parallel: ", place.size, " ranks cannot share the ", width, " columns of ",
                        std::string(down), ", which stand in blocks of ", grain));
    return Whole(width);
  }
  return Axis::Part(width, borders[static_cast<size_t>(place.rank)], borders[static_cast<size_t>(place.rank) + 1]);
}

std::vector<int64_t> VocabularyBorders(int64_t vocab_size, RankPlace place) { return Borders(vocab_size, 1, place.size); }

Axis ShardVocabulary(const WeightLoader& w, int64_t vocab_size) {
  const RankPlace place = w.place();
  const std::vector<int64_t> borders = VocabularyBorders(vocab_size, place);
  return Axis::Part(vocab_size, borders[static_cast<size_t>(place.rank)], borders[static_cast<size_t>(place.rank) + 1]);
}

CacheLayout ShardCache(CacheLayout whole, RankPlace place) {
  for (AttentionCacheShape& layer : whole.attention) layer.kv_heads = UnitsOf(layer.kv_heads, place).count;
  for (MambaStateLayout& layer : whole.mamba) {
    if (layer.state_size == 0) continue;  // a convolution alone, over hidden vectors that are whole
    layer.heads = UnitsOf(layer.heads, place).count;
    layer.groups = UnitsOf(layer.groups, place).count;
  }
  return whole;
}

}  // namespace braid
