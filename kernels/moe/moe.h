// Mixture of experts, dropless. Route: scores, the k experts of each token, their weights. Experts: the whole
// two-layer expert part, tokens grouped by expert, summed per token in rising order of the expert's number.
//   route:   s = sigmoid(x G^T) in f32, or softmax(x G^T + logit_bias) over all experts; selection by s + bias within the topk_group best groups (a group's score is the
//            sum of its two best), weights s (without bias), normalised to sum one (+1e-20), times scale
//   experts: y[t] (+)= sum_k w[t,k] * down_e(act(up_e(x[t]))),  e = idx[t,k]; act as linear's epilogues
// Ties go to the lower expert number (DeepSeek-V3 style selection, arXiv:2412.19437).
#pragma once

#include <span>

#include "kernels/linear/linear.h"
#include "kernels/packed_weight.h"
#include "kernels/tensor.h"

namespace braid {

enum class RouteScoring { kSigmoid, kSoftmax };

struct RouteArgs {
  TensorView x;             // [tokens, hidden]
  const float* gate;        // [experts, hidden]
  const float* bias;        // [experts] or none, for choosing only; none with kSoftmax
  int experts;
  int top_k;
  int groups;               // divides experts; 1: no groups
  int top_groups;
  bool normalize;
  float scale;
  RouteScoring scoring = RouteScoring::kSigmoid;
  const float* logit_bias = nullptr;  // [experts] or none
  int32_t* expert_ids;      // [tokens, top_k], rising
  float* expert_weights;    // [tokens, top_k]
};

struct ExpertsArgs {
  TensorView x;                             // [tokens, width]
  std::span<const PackedWeight* const> up;  // per expert [inter, width], or a pair of them for a gated epilogue
  std::span<const PackedWeight* const> down;  // per expert [width, inter]
  int top_k;
  const int32_t* expert_ids;                // [tokens, top_k], rising
  const float* expert_weights;              // [tokens, top_k]
  bool add;                                 // y += instead of y =
  TensorView y;                             // [tokens, width]; not x
  Epilogue epilogue = Epilogue::kRelu2;     // of up
  const float* up_bias = nullptr;           // [experts, rows of up] or none
  const float* down_bias = nullptr;         // [experts, width] or none
};

}  // namespace braid
