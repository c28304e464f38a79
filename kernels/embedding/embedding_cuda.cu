// A warp widens 8 chunks of 32 numbers of one table row: four lanes a chunk, which own the row in its panel
// (linear/cuda_packed_weight.h).
#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"
#include "kernels/embedding/embedding.h"
#include "kernels/linear/weight_fragments_cuda.cuh"

namespace braid::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kChunks = kThreads / 4;  // of a block

struct EmbeddingParams {
  CudaWeightSet set;
  const std::byte* base;
  const int32_t* ids;
  float* y;
  int64_t y_stride;
};

// Grid: (chunks, tokens). Leaves rows of other sets alone.
template <class Weights>
__global__ void __launch_bounds__(kThreads) TakeRows(const EmbeddingParams p) {
  const int row = p.ids[blockIdx.y] - p.set.first_row, chunk = blockIdx.x * kChunks + static_cast<int>(threadIdx.x) / 4;
  if (row < 0 || row >= p.set.rows || chunk >= p.set.chunks) return;
  const int panel = row / kCudaPanelRows, in_panel = row % kCudaPanelRows, c = threadIdx.x % 4;
  Weights weights;
  weights.Load(p.set, PlaceOfChunk(p.set, p.base, panel, chunk), in_panel % 8 * 4 + c);
  float scale = 1.0f;
  if (p.set.row_scales_offset >= 0) {
    scale = reinterpret_cast<const float*>(p.base + p.set.row_scales_offset)[row];
  }
  float* const y = p.y + blockIdx.y * p.y_stride;
  for (int h = 0; h < 2; ++h) {
    float w[4];
    WidenToFloats(weights, p.set, in_panel / 8, h, w);
    for (int q = 0; q < 4; ++q) {
      const int k = chunk * kCudaChunk + 16 * h + 2 * c + q % 2 + q / 2 * 8;
      if (k < p.set.cols) y[k] = w[q] * scale;
    }
  }
}

template <class Weights>
void LaunchFor(const EmbeddingParams& params, int64_t tokens, Step& step) {
  Launch(TakeRows<Weights>,
         {.grid = {static_cast<unsigned>(CeilDiv(params.set.chunks, kChunks)), static_cast<unsigned>(tokens)},
          .block = kThreads,
          .stream = step.stream()},
         params);
}

void LaunchFor(const EmbeddingParams& params, int64_t tokens, Step& step) {
  switch (params.set.kind) {
    case CudaKind::kF32: return LaunchFor<F32Weights>(params, tokens, step);
    case CudaKind::kF16: return LaunchFor<F16Weights>(params, tokens, step);
    case CudaKind::kBF16: return LaunchFor<Bf16Weights>(params, tokens, step);
    case CudaKind::kFp8:
      return params.set.head_chunks > 0 ? LaunchFor<Fp8BlockWeights>(params, tokens, step)
                                        : LaunchFor<Fp8RowWeights>(params, tokens, step);
    case CudaKind::kFp4: return LaunchFor<Fp4Weights>(params, tokens, step);
    case CudaKind::kBlocks: return LaunchFor<BlockWeights>(params, tokens, step);
  }
}

}  // namespace

void Embedding(const EmbeddingArgs& args, Step& step) {
  CHECK(args.first_id < 0) << "CUDA has whole tables";
  const int32_t* const ids = step.Place(args.ids);
  if (step.measuring() || args.ids.empty()) return;
  const CudaPackedWeight& table = CudaPackedWeight::Of(args.table);
  for (const CudaWeightSet& set : table.sets()) {
    if (set.rows == 0 || set.chunks == 0) continue;
    LaunchFor({set, table.base(), ids, args.y.f32(), args.y.stride}, static_cast<int64_t>(args.ids.size()), step);
  }
}

}  // namespace braid::cuda
