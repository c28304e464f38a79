// The operations of CUDA, one launcher each, behind a table of pointers: kernels/<op>/<op>_cuda.cu.
//
// A launcher takes its scratch first and returns when the step only measures; it neither allocates nor waits, and puts
// all its work on step.stream(). Its choices depend on shapes and on DeviceBatch's counts only.
#pragma once

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "kernels/cpu_ops.h"
#include "kernels/cuda_step.h"
#include "kernels/packed_weight.h"

namespace braid::cuda {

#define BRAID_DECLARE_OP(Op) void Op(const Op##Args& args, Step& step);
BRAID_FOR_EACH_ISA_OP(BRAID_DECLARE_OP)
BRAID_FOR_EACH_PLAIN_OP(BRAID_DECLARE_OP)
#undef BRAID_DECLARE_OP
void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y, Step& step);

// Lays a weight out in device memory; kernels/linear/cuda_packed_weight.cc. Device memory is taken with
// device::Allocate and written with device::Upload (kernels/device.h).
absl::StatusOr<std::unique_ptr<PackedWeight>> Pack(const WeightSource& source);

// Where the backend finds them.
#define BRAID_OP_POINTER(Op) void (*Op)(const Op##Args&, Step&);
struct OpTable {
  BRAID_FOR_EACH_ISA_OP(BRAID_OP_POINTER)
  BRAID_FOR_EACH_PLAIN_OP(BRAID_OP_POINTER)
  void (*GatherRows)(TensorView x, std::span<const int32_t> rows, TensorView y, Step& step);
  absl::StatusOr<std::unique_ptr<PackedWeight>> (*Pack)(const WeightSource&);
};
#undef BRAID_OP_POINTER
extern const OpTable kOps;

}  // namespace braid::cuda
