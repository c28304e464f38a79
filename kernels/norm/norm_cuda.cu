// One block normalizes one part of a row: it reads the part twice (the second time from cache) and writes it once; bound
// by memory. Sums run in f32, each thread its own stride of the part, then over the block.
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"

namespace braid::cuda {
namespace {

constexpr int kMaxThreads = 512;

// Whole warps, about four elements a thread.
unsigned ThreadsFor(int64_t size) {
  return static_cast<unsigned>(std::min<int64_t>(CeilDiv(CeilDiv(size, 4), kWarp) * kWarp, kMaxThreads));
}

// Part blockIdx.y of row blockIdx.x of a matrix of parts of `size`.
__device__ int64_t PartOffset(int64_t stride, int size) { return blockIdx.x * stride + int64_t{blockIdx.y} * size; }

// `shared_weight`: all parts of a row have the same weights.
__global__ void __launch_bounds__(kMaxThreads)
    RmsNormKernel(const float* x, int64_t x_stride, const float* gate, int64_t gate_stride, const float* weight,
                  bool shared_weight, GatePlace place, float eps, float* y, int64_t y_stride, int size) {
  BRAID_SHARED(float, slots, kWarp);
  const float* const from = x + PartOffset(x_stride, size);
  const float* const gates = gate == nullptr ? nullptr : gate + PartOffset(gate_stride, size);
  const float* const weights = weight + (shared_weight ? 0 : int64_t{blockIdx.y} * size);
  float* const to = y + PartOffset(y_stride, size);
  const bool behind = place == GatePlace::kBehindNorm;
  const auto value = [&](int i) { return gates == nullptr || behind ? from[i] : from[i] * Silu(gates[i]); };
  float squares = 0;
  for (int i = threadIdx.x; i < size; i += blockDim.x) squares = fmaf(value(i), value(i), squares);
  const float norm = 1.0f / sqrtf(BlockSum<float>(squares, slots) / size + eps);
  const float scale = place == GatePlace::kWithoutNorm ? 1.0f : norm;
  for (int i = threadIdx.x; i < size; i += blockDim.x) {
    const float v = value(i) * scale * weights[i];
    to[i] = behind ? v * Silu(gates[i]) : v;
  }
}

__global__ void __launch_bounds__(kMaxThreads)
    LayerNormKernel(const float* x, int64_t x_stride, const float* weight, const float* bias, float eps, float* y,
                    int64_t y_stride, int size) {
  BRAID_SHARED(float, slots, kWarp);
  const float* const from = x + PartOffset(x_stride, size);
  float* const to = y + PartOffset(y_stride, size);
  float sum = 0, squares = 0;
  for (int i = threadIdx.x; i < size; i += blockDim.x) sum += from[i];
  const float mean = BlockSum<float>(sum, slots) / size;
  for (int i = threadIdx.x; i < size; i += blockDim.x) squares = fmaf(from[i] - mean, from[i] - mean, squares);
  const float scale = 1.0f / sqrtf(BlockSum<float>(squares, slots) / size + eps);
  for (int i = threadIdx.x; i < size; i += blockDim.x) to[i] = (from[i] - mean) * scale * weight[i] + bias[i];
}

LaunchConfig ConfigFor(const TensorView& x, int groups, const Step& step) {
  return {.grid = dim3(static_cast<unsigned>(x.rows), static_cast<unsigned>(groups)),
          .block = ThreadsFor(x.cols / groups),
          .stream = step.stream()};
}

bool Idle(const TensorView& x, const Step& step) { return step.measuring() || x.rows == 0 || x.cols == 0; }

}  // namespace

void RmsNorm(const RmsNormArgs& args, Step& step) {
  if (Idle(args.x, step)) return;
  Launch(RmsNormKernel, ConfigFor(args.x, args.groups, step), args.x.f32(), args.x.stride, nullptr, 0, args.weight, true,
         GatePlace::kBeforeNorm, args.eps, args.y.f32(), args.y.stride, static_cast<int>(args.x.cols / args.groups));
}

void LayerNorm(const LayerNormArgs& args, Step& step) {
  if (Idle(args.x, step)) return;
  Launch(LayerNormKernel, ConfigFor(args.x, 1, step), args.x.f32(), args.x.stride, args.weight, args.bias, args.eps,
         args.y.f32(), args.y.stride, static_cast<int>(args.x.cols));
}

void GatedRmsNorm(const GatedRmsNormArgs& args, Step& step) {
  if (Idle(args.x, step)) return;
  Launch(RmsNormKernel, ConfigFor(args.x, args.groups, step), args.x.f32(), args.x.stride, args.gate.f32(),
         args.gate.stride, args.weight, false, args.place, args.eps, args.y.f32(), args.y.stride,
         static_cast<int>(args.x.cols / args.groups));
}

}  // namespace braid::cuda
