// RMSNorm, arXiv:1910.07467:        y = x / sqrt(mean(x^2) + eps) * weight, of each of `groups` equal parts of a row
// LayerNorm, arXiv:1607.06450:      y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias
// Gated group norm of Mamba-2:       v = x * silu(gate); RMSNorm of each of `groups` equal parts of v, times weight;
//                                    or the gate behind the norm; or no norm, v * weight
// Sums run in f32 in one order that depends on the row's length only.
#pragma once

#include "kernels/tensor.h"

namespace braid {

struct RmsNormArgs {
  TensorView x;         // [tokens, hidden], rows may be strided
  const float* weight;  // [hidden / groups]
  float eps;
  TensorView y;         // [tokens, hidden], may be x
  int groups = 1;       // divides hidden: the heads of queries and keys
};

struct LayerNormArgs {
  TensorView x;         // [tokens, hidden]
  const float* weight;  // [hidden]
  const float* bias;    // [hidden]
  float eps;
  TensorView y;         // [tokens, hidden], may be x
};

enum class GatePlace { kBeforeNorm, kBehindNorm, kWithoutNorm };

struct GatedRmsNormArgs {
  TensorView x;         // [tokens, d_inner]
  TensorView gate;      // [tokens, d_inner], rows may be strided
  const float* weight;  // [d_inner]
  int groups;           // divides d_inner
  float eps;
  TensorView y;         // [tokens, d_inner], may be x
  GatePlace place = GatePlace::kBeforeNorm;
};

}  // namespace braid
