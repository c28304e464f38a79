// Tokens grouped by expert on the device, so that each touched expert's weights are read once a tile of rows:
//   GroupChoices   one block counts the choices of each expert, lays out tiles of rows and gives every choice a place
//   two grouped products (linear/gemm_cuda.h) over the tiles: up with its epilogue, down
//   Combine        each token adds its experts' rows in rising order of the expert
// Places within an expert are taken in any order: a row's product does not depend on its place.
#include <vector>

#include "kernels/cuda_device.cuh"
#include "kernels/cuda_ops.h"
#include "kernels/linear/gemm_cuda.h"

namespace braid::cuda {
namespace {

constexpr int kGroupThreads = 1024;
constexpr int kCombineThreads = 256;
constexpr int kMaxExperts = 4096;

// What GroupChoices fills. A choice is (token, k): token * top_k + k.
struct Grouping {
  int32_t* choice_of;  // [choices] by place
  int32_t* place_of;   // [choices] by choice
  GemmTile* tiles;     // [max_tiles]
  int32_t* num_tiles;
};

// Sums of `value` over the threads before this one, and over all of them; `slots` has one for each warp.
struct Scan {
  int32_t before, all;
};
__device__ Scan ScanBlock(int32_t value, SharedPtr<int32_t> slots) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  int32_t sum = value;
  for (int lanes = 1; lanes < kWarp; lanes *= 2) {
    const int32_t below = __shfl_up_sync(kFullMask, sum, lanes);
    if (lane >= lanes) sum += below;
  }
  __syncthreads();
  if (lane == kWarp - 1) slots[warp] = sum;
  __syncthreads();
  Scan scan{sum - value, 0};
  for (int w = 0; w < kGroupThreads / kWarp; ++w) {
    if (w < warp) scan.before += slots[w];
    scan.all += slots[w];
  }
  return scan;
}

// Replaces every expert's count by its first place, and lists its tiles; `threads` experts a round.
__device__ void PlaceExperts(int experts, int tile_rows, const Grouping& grouping, SharedPtr<int32_t> counts,
                             SharedPtr<int32_t> slots) {
  int32_t first_place = 0, first_tile = 0;
  for (int first = 0; first < experts; first += kGroupThreads) {
    const int e = first + static_cast<int>(threadIdx.x);
    const int32_t count = e < experts ? static_cast<int32_t>(counts[e]) : 0;
    const int32_t tiles = (count + tile_rows - 1) / tile_rows;
    const Scan places = ScanBlock(count, slots), numbers = ScanBlock(tiles, slots);
    const int32_t place = first_place + places.before;
    for (int32_t i = 0; i < tiles; ++i) {
      grouping.tiles[first_tile + numbers.before + i] = {e, place + i * tile_rows,
                                                         min(tile_rows, count - i * tile_rows)};
    }
    if (e < experts) counts[e] = place;
    first_place += places.all;
    first_tile += numbers.all;
  }
  if (threadIdx.x == 0) *grouping.num_tiles = first_tile;
}

// One block. Dynamic shared memory: counts [experts].
__global__ void __launch_bounds__(kGroupThreads)
    GroupChoices(const int32_t* expert_ids, int choices, int experts, int tile_rows, const Grouping grouping) {
  BRAID_SHARED(int32_t, slots, kGroupThreads / kWarp);
  const SharedPtr<int32_t> counts = DynamicShared<int32_t>();
  for (int e = threadIdx.x; e < experts; e += kGroupThreads) counts[e] = 0;
  __syncthreads();
  // place_of holds a choice's number within its expert until the experts have their places.
  for (int c = threadIdx.x; c < choices; c += kGroupThreads) {
    grouping.place_of[c] = SharedAtomicAdd(counts + expert_ids[c], 1);
  }
  __syncthreads();
  PlaceExperts(experts, tile_rows, grouping, counts, slots);
  __syncthreads();
  for (int c = threadIdx.x; c < choices; c += kGroupThreads) {
    const int32_t place = counts[expert_ids[c]] + grouping.place_of[c];
    grouping.place_of[c] = place;
    grouping.choice_of[place] = c;
  }
}

struct CombineParams {
  const float* outer;  // [choices, width] by place
  const int32_t* place_of;
  const float* weights;
  int top_k;
  int64_t width;
  bool add;
  float* y;
  int64_t y_stride;
};

// Grid: (columns, tokens).
__global__ void __launch_bounds__(kCombineThreads) Combine(const CombineParams p) {
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kCombineThreads + threadIdx.x, token = blockIdx.y;
  if (column >= p.width) return;
  float sum = 0;
  for (int64_t c = token * p.top_k; c < (token + 1) * p.top_k; ++c) {
    sum = fmaf(p.weights[c], p.outer[p.place_of[c] * p.width + column], sum);
  }
  float* const y = p.y + token * p.y_stride + column;
  *y = p.add ? *y + sum : sum;
}

// ---- host

const std::vector<CudaWeightSet>& SetsOf(std::span<const PackedWeight* const> weights) {
  return CudaPackedWeight::Of(weights[0]).sets();
}

// A launch has one layout: all experts must have been stored alike.
void CheckAlike(std::span<const PackedWeight* const> weights) {
  for (const PackedWeight* weight : weights) {
    CHECK(CudaPackedWeight::Of(weight).sets() == SetsOf(weights)) << "experts of unequal formats";
  }
}

const std::byte* const* BasesOf(std::span<const PackedWeight* const> weights, Step& step) {
  if (step.measuring()) return nullptr;
  std::vector<const std::byte*> bases;
  bases.reserve(weights.size());
  for (const PackedWeight* weight : weights) bases.push_back(CudaPackedWeight::Of(weight).base());
  return step.Constant(std::span<const std::byte* const>(bases));
}

// What both products have in common.
struct Products {
  Grouping grouping;
  int32_t choices, max_tiles;
  int tile_rows;
};

// rows of `out` are places.
void Multiply(const Products& products, std::span<const PackedWeight* const> weights, GemmArgs gemm,
              const TensorView& out, const float* bias, Step& step) {
  gemm.bases = BasesOf(weights, step);
  gemm.rows = products.choices;
  gemm.tiles = products.grouping.tiles;
  gemm.num_tiles = products.grouping.num_tiles;
  gemm.max_tiles = products.max_tiles;
  gemm.y = out.f32();
  gemm.y_stride = out.stride;
  gemm.bias = bias;
  gemm.bias_stride = weights[0]->rows();
  gemm.grouped = true;
  for (const CudaWeightSet& set : SetsOf(weights)) {
    gemm.set = set;
    Gemm(gemm, products.tile_rows, step);
  }
}

void MultiplyUp(const ExpertsArgs& args, const Products& products, const TensorView& inner, Step& step) {
  GemmArgs gemm{.x = args.x.f32(), .x_stride = args.x.stride, .row_of = products.grouping.choice_of,
                .row_divisor = args.top_k, .epilogue = args.epilogue};
  if (!IsGated(args.epilogue) || SetsOf(args.up)[0].pair) {
    return Multiply(products, args.up, gemm, inner, args.up_bias, step);
  }
  Scratch::Scope scope(step.scratch());
  const TensorView both = step.scratch().Matrix(products.choices, 2 * inner.cols);
  gemm.epilogue = Epilogue::kStore;
  Multiply(products, args.up, gemm, both, args.up_bias, step);
  Gate(both.f32(), both.stride, inner.rows, inner.cols, args.epilogue, inner.f32(), inner.stride, step);
}

void LaunchGrouping(const ExpertsArgs& args, const Products& products, Step& step) {
  const int experts = static_cast<int>(args.up.size());
  Launch(GroupChoices,
         {.grid = 1, .block = kGroupThreads, .shared_bytes = 4 * args.up.size(), .stream = step.stream()},
         args.expert_ids, products.choices, experts, products.tile_rows, products.grouping);
}

void LaunchCombine(const ExpertsArgs& args, const Products& products, const TensorView& outer, Step& step) {
  Launch(Combine,
         {.grid = {static_cast<uint32_t>(CeilDiv(args.y.cols, kCombineThreads)), static_cast<uint32_t>(args.x.rows)},
          .block = kCombineThreads,
          .stream = step.stream()},
         CombineParams{outer.f32(), products.grouping.place_of, args.expert_weights, args.top_k, args.y.cols, args.add,
                       args.y.f32(), args.y.stride});
}

}  // namespace

void Experts(const ExpertsArgs& args, Step& step) {
  Scratch::Scope scope(step.scratch());
  const int64_t experts = static_cast<int64_t>(args.up.size()), choices = args.x.rows * args.top_k;
  if (experts == 0 || choices == 0 || args.y.cols == 0) return;
  CHECK_LE(experts, kMaxExperts);
  if (step.measuring()) {
    CheckAlike(args.up);
    CheckAlike(args.down);
  }
  Scratch& scratch = step.scratch();
  const int tile_rows = TileRows(choices, experts);
  const int64_t max_tiles = MaxTiles(choices, experts, tile_rows);
  const Products products = {{scratch.Array<int32_t>(choices), scratch.Array<int32_t>(choices),
                              scratch.Array<GemmTile>(max_tiles), scratch.Array<int32_t>(1)},
                             static_cast<int32_t>(choices), static_cast<int32_t>(max_tiles), tile_rows};
  const TensorView inner = scratch.Matrix(choices, args.down[0]->cols()), outer = scratch.Matrix(choices, args.y.cols);
  if (!step.measuring()) LaunchGrouping(args, products, step);
  MultiplyUp(args, products, inner, step);
  Multiply(products, args.down, {.x = inner.f32(), .x_stride = inner.stride}, outer, args.down_bias, step);
  if (!step.measuring()) LaunchCombine(args, products, outer, step);
}

}  // namespace braid::cuda
