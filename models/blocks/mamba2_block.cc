#include "models/blocks/mamba2_block.h"

#include <cmath>

namespace braid {

MambaStateLayout StateLayoutOf(const MambaConfig& config) {
  return {.heads = config.num_heads,
          .head_dim = config.head_dim,
          .state_size = config.state_size,
          .groups = config.num_groups,
          .conv_kernel = config.conv_kernel};
}

namespace {

std::vector<float> DecaysOf(std::vector<float> a_log) {
  for (float& a : a_log) a = -std::exp(a);
  return a_log;
}

Parameter BindNorm(const WeightLoader& w, const MambaShards& shards) {
  const bool none = shards.config.gate_place == GatePlace::kWithoutNorm;
  std::vector<float> weight = none ? std::vector<float>(static_cast<size_t>(shards.inner.kept()), 1.0f)
                                   : w.Floats("norm.weight", {shards.norm});
  for (float& value : weight) value *= shards.config.out_factor;
  return w.Keep(weight);
}

std::optional<Mamba2Block::SharedGroup> BindSharedGroup(const WeightLoader& w, const MambaShards& shards) {
  if (!shards.shares_group || shards.config.gate_place == GatePlace::kWithoutNorm) return std::nullopt;
  return Mamba2Block::SharedGroup{.borders = Borders(shards.whole_inner, 1, w.place().size),
                                  .mine = shards.inner.runs()[0].begin,
                                  .first = shards.norm.runs()[0].begin,
                                  .size = shards.norm.kept(),
                                  .ones = w.Keep(std::vector<float>(static_cast<size_t>(shards.inner.kept()), 1.0f))};
}

Parameter BindInFactors(const WeightLoader& w, const MambaConfig& mamba) {
  const int64_t inner = mamba.inner_size(), shared = int64_t{mamba.num_groups} * mamba.state_size;
  const std::array<float, 5>& f = mamba.in_factors;
  return w.KeepFactors({{inner, f[0]}, {inner, f[1]}, {shared, f[2]}, {shared, f[3]}, {mamba.num_heads, f[4]}});
}

}  // namespace

Mamba2Block BindMamba2(const WeightLoader& w, const MambaConfig& mamba, int hidden_size, float norm_eps) {
  const MambaShards shards = ShardMamba(w, mamba);
  const Axis hidden = Whole(hidden_size);
  Mamba2Block block{.config = shards.config,
                    .norm_eps = norm_eps,
                    .in_proj = w.Matrix("in_proj.weight", shards.in_proj, hidden),
                    .in_factors = BindInFactors(w, shards.config),
                    .conv_weight = w.KeepFloats("conv1d.weight", {shards.conv, Whole(1), Whole(mamba.conv_kernel)}),
                    .a = w.Keep(DecaysOf(w.Floats("A_log", {shards.heads}))),
                    .d = w.KeepFloats("D", {shards.heads}),
                    .dt_bias = w.KeepFloats("dt_bias", {shards.heads}),
                    .norm_weight = BindNorm(w, shards),
                    .out_proj = w.Matrix("out_proj.weight", hidden, shards.inner),
                    .shared_group = BindSharedGroup(w, shards)};
  if (mamba.use_conv_bias) block.conv_bias = w.KeepFloats("conv1d.bias", {shards.conv});
  if (mamba.use_bias) block.in_proj_bias = w.KeepFloats("in_proj.bias", {shards.in_proj});
  if (mamba.use_bias) block.out_proj_bias = w.KeepOnFirst("out_proj.bias", {hidden});
  return block;
}

// Onto y, or onto memory of the scope that is open.
TensorView Mamba2Block::Normalize(Ops& op, TensorView y, TensorView gate) const {
  if (shared_group) return NormalizeShared(op, y, gate);
  op.GatedRmsNorm({.x = y,
                   .gate = gate,
                   .weight = norm_weight.data(),
                   .groups = config.num_groups,
                   .eps = norm_eps,
                   .y = y,
                   .place = config.gate_place});
  return y;
}

// The norm needs all of the group, which several ranks have: each gets it whole and keeps its own channels.
TensorView Mamba2Block::NormalizeShared(Ops& op, TensorView y, TensorView gate) const {
  const SharedGroup& group = *shared_group;
  const TensorView all = op.scratch().Matrix(y.rows, group.borders.back()), mine = all.Columns(group.mine, y.cols);
  const TensorView normed = all.Columns(group.first, group.size);
  const auto gate_onto = [&](TensorView x) {
    op.GatedRmsNorm({.x = x, .gate = gate, .weight = group.ones.data(), .groups = 1, .eps = norm_eps, .y = mine,
                     .place = GatePlace::kWithoutNorm});
  };
  if (config.gate_place == GatePlace::kBeforeNorm) gate_onto(y);
  else op.Scale({.x = y, .factors = group.ones.data(), .y = mine});
  op.AllGather({.y = all, .borders = group.borders});
  op.RmsNorm({.x = normed, .weight = norm_weight.data(), .eps = norm_eps, .y = normed});
  if (config.gate_place == GatePlace::kBehindNorm) gate_onto(mine);
  return mine;
}

void Mamba2Block::Forward(Ops& op, const RaggedBatch& batch, const MambaStateLayout& layout, const StateLayer& state,
                          TensorView h, const Addend& out) const {
  Scratch::Scope scope(op.scratch());
  const int64_t inner = config.inner_size(), conv = config.conv_size();
  const TensorView projected = op.scratch().Matrix(h.rows, inner + conv + config.num_heads);
  const TensorView xbc = op.scratch().Matrix(h.rows, conv);
  const TensorView y = op.scratch().Matrix(h.rows, inner);
  op.Linear({.x = h, .weight = in_proj.get(), .bias = in_proj_bias.data(), .y = projected});
  if (!in_factors.empty()) op.Scale({.x = projected, .factors = in_factors.data(), .y = projected});
  op.Conv1d({.x = projected.Columns(inner, conv),
             .weight = conv_weight.data(),
             .bias = conv_bias.data(),
             .batch = &batch,
             .layout = layout,
             .state = state,
             .y = xbc});
  op.Ssm({.xbc = xbc,
          .dt = projected.Columns(inner + conv, config.num_heads),
          .dt_bias = dt_bias.data(),
          .a = a.data(),
          .d = d.data(),
          .dt_min = config.time_step_min,
          .dt_max = config.time_step_max,
          .batch = &batch,
          .layout = layout,
          .state = state,
          .y = y});
  op.Linear({.x = Normalize(op, y, projected.Columns(0, inner)),
             .weight = out_proj.get(),
             .bias = out_proj_bias.data(),
             .epilogue = out.epilogue(),
             .y = out.y});
}

}  // namespace braid
