// Matrices of 4- and 8-bit integers with a scale and a zero for each group of inputs, as three tools pack them:
//   GPTQ: X.qweight I32 [cols * bits / 32, rows], X.qzeros I32 [groups, rows * bits / 32], X.scales [groups, rows] and
//   X.g_idx I32 [cols], the group of each input. Its first format stores zeros less one: one subtraction for a word, so
//   that a zero of 0 borrows from its neighbour. Where zeros are said to be the middle of the codes, some files of it
//   store just that.
//   AWQ: X.qweight I32 [cols, rows / 8], X.qzeros I32 [groups, rows / 8], X.scales [groups, rows]
//   compressed-tensors: X.weight_packed I32 [rows, cols * bits / 32], X.weight_scale [rows, groups]; not symmetric:
//   X.weight_zero_point I32 [rows * bits / 32, groups]; ordered: X.weight_g_idx I32 [cols]
// Scales are F16 or BF16. They are kept as f16: BF16's from 2^-17 on are exact, smaller ones multiples of 2^-24.
#pragma once

#include <string_view>

#include "models/weights/quantization.h"
#include "models/weights/stored_matrix.h"
#include "models/weights/weight_scope.h"

namespace braid {

// Whether `module` ("self_attn.q_proj") is such a matrix.
bool HasIntegers(const WeightScope& scope, std::string_view module);

// Finds `module` of shape [rows, cols] and lays it out. The first error goes to the scope, and the answer then is empty.
StoredMatrix FindIntegers(const WeightScope& scope, const Quantization& quantization, std::string_view module,
                          int64_t rows, int64_t cols);

}  // namespace braid
