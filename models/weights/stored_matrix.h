// A matrix as a checkpoint holds it: one tensor of a float type, codes and scales in several tensors, or a GGUF block
// type. What it is, the tensors' names and types say:
//   X.weight of F32, F16, BF16 or a GGUF type
//   X.weight of F8_E4M3 with X.weight_scale (or _scale_inv): one, one a row, or one a block
//   X.weight of U8 [rows, cols / 2] with X.weight_scale of F8_E4M3 and X.weight_scale_2 (ModelOpt's NVFP4), or with
//   X.weight_scale of U8 (MXFP4)
//   X.weight_packed of U8 with X.weight_scale and the reciprocal X.weight_global_scale (compressed-tensors)
//   X of F32, F16, BF16 or a GGUF type [experts, rows, cols]
//   X.qweight or X.weight_packed of I32: integers in groups (integer_matrix.h)
//   X_blocks of U8 [experts, rows, cols / 32, 16] with X_scales [experts, rows, cols / 32] (MXFP4 of GPT-OSS)
#pragma once

#include <memory>
#include <vector>

#include "kernels/packed_weight.h"
#include "models/weights/quantization.h"
#include "models/weights/weight_scope.h"

namespace braid {

struct StoredMatrix {
  WeightPart part;                    // borrows the tensors' bytes, or those laid out
  std::vector<StoredTensor> tensors;  // all that were read for it
  std::vector<int32_t> input_order;   // WeightSource's
  std::shared_ptr<const std::vector<std::byte>> laid_out;  // shared by copies, whose parts borrow it
};

// Finds `name` ("q_proj.weight") of shape [rows, cols] under `scope`. Also marks what stands beside it and is not
// needed (input scales, K/V scales). What is missing or of another shape is the scope's error, and the answer then is
// empty.
StoredMatrix FindMatrix(const WeightScope& scope, const Quantization& quantization, std::string_view name,
                        int64_t rows, int64_t cols);

// Finds matrix `expert` of the `experts` [rows, cols] that are stacked in `name`: "ffn_up_exps.weight" as a tensor
// [experts, rows, cols], or "experts.down_proj" in MXFP4's two.
StoredMatrix FindExpert(const WeightScope& scope, const Quantization& quantization, std::string_view name,
                        int64_t expert, int64_t experts, int64_t rows, int64_t cols);

// Columns of matrix `name` that stand together: a part of it begins at a multiple of so many. 1 where there is no such
// matrix.
int64_t ColumnGrain(const WeightScope& scope, const Quantization& quantization, std::string_view name);

}  // namespace braid
