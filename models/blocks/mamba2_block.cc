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

Parameter BindNorm(const WeightLoader& w, const MambaConfig& mamba) {
  const int64_t inner = mamba.inner_size();
  const bool none = mamba.gate_place == GatePlace::kWithoutNorm;
  std::vector<float> weight = none ? std::vector<float>(inner, 1.0f) : w.Floats("norm.weight", {inner});
  for (float& value : weight) value *= mamba.out_factor;
  return w.Keep(weight);
}

Parameter BindInFactors(const WeightLoader& w, const MambaConfig& mamba) {
  const int64_t inner = mamba.inner_size(), shared = int64_t{mamba.num_groups} * mamba.state_size;
  const std::array<float, 5>& f = mamba.in_factors;
  return w.KeepFactors({{inner, f[0]}, {inner, f[1]}, {shared, f[2]}, {shared, f[3]}, {mamba.num_heads, f[4]}});
}

}  // namespace

Mamba2Block BindMamba2(const WeightLoader& w, const MambaConfig& mamba, int hidden_size, float norm_eps) {
  const int64_t inner = mamba.inner_size(), conv = mamba.conv_size(), heads = mamba.num_heads;
  const int64_t projected = inner + conv + heads;
  Mamba2Block block{.config = mamba,
                    .norm_eps = norm_eps,
                    .in_proj = w.Matrix("in_proj.weight", projected, hidden_size),
                    .in_factors = BindInFactors(w, mamba),
                    .conv_weight = w.KeepFloats("conv1d.weight", {conv, 1, mamba.conv_kernel}),
                    .a = w.Keep(DecaysOf(w.Floats("A_log", {heads}))),
                    .d = w.KeepFloats("D", {heads}),
                    .dt_bias = w.KeepFloats("dt_bias", {heads}),
                    .norm_weight = BindNorm(w, mamba),
                    .out_proj = w.Matrix("out_proj.weight", hidden_size, inner)};
  if (mamba.use_conv_bias) block.conv_bias = w.KeepFloats("conv1d.bias", {conv});
  if (mamba.use_bias) block.in_proj_bias = w.KeepFloats("in_proj.bias", {projected});
  if (mamba.use_bias) block.out_proj_bias = w.KeepFloats("out_proj.bias", {hidden_size});
  return block;
}

void Mamba2Block::Forward(Ops& op, const RaggedBatch& batch, const MambaStateLayout& layout, const StateLayer& state,
                          TensorView h, TensorView x) const {
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
  op.GatedRmsNorm({.x = y,
                   .gate = projected.Columns(0, inner),
                   .weight = norm_weight.data(),
                   .groups = config.num_groups,
                   .eps = norm_eps,
                   .y = y,
                   .place = config.gate_place});
  op.Linear({.x = y,
             .weight = out_proj.get(),
             .bias = out_proj_bias.data(),
             .epilogue = Epilogue::kAdd,
             .y = x});
}

}  // namespace braid
