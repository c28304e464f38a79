#include "kernels/linear/gemm_cuda.cuh"

#include "kernels/device.h"

namespace braid::cuda {
namespace {

constexpr int kPackThreads = 256;

// Lays rows out as A fragments [tiles of 16 rows][chunks][2 steps][kTerms][lanes], zeros past rows and columns. A warp
// makes one step of one tile; it reads 16 x 16 floats and writes kTerms x 512 bytes. Grid: (steps, tiles of 16).
template <int kTerms>
__global__ void __launch_bounds__(kPackThreads) PackRows(const GemmArgs g, uint4* packed, int tiles16_per_tile) {
  const int step = blockIdx.x * (kPackThreads / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (step >= 2 * g.set.chunks) return;
  GemmTile tile;
  if (!TakeTile(g, blockIdx.y / tiles16_per_tile, 16 * tiles16_per_tile, &tile)) return;
  const int low = blockIdx.y % tiles16_per_tile * 16 + lane / 4, high = low + 8;
  uint32_t a[kTerms][4];
  FragmentsOfRows<kTerms>(low < tile.rows ? RowOf(g, tile.first + low) : nullptr,
                          high < tile.rows ? RowOf(g, tile.first + high) : nullptr, step * 16 + lane % 4 * 2,
                          g.set.cols, HasEvenRows(g), a);
  uint4* const to = packed + (static_cast<int64_t>(blockIdx.y) * 2 * g.set.chunks + step) * kTerms * 32 + lane;
#pragma unroll
  for (int i = 0; i < kTerms; ++i) to[i * 32] = make_uint4(a[i][0], a[i][1], a[i][2], a[i][3]);
}

// Adds the splits of a dense product in their order and finishes it. Grid: (columns of y, rows).
__global__ void __launch_bounds__(kPackThreads) SumSplits(const GemmArgs g) {
  const int row = blockIdx.y, i = blockIdx.x * kPackThreads + threadIdx.x;
  const int panel_columns = g.set.pair ? 16 : 32, panel = i / panel_columns, column = i % panel_columns;
  if (panel >= g.set.panels) return;
  float sum = 0, up = 0;
  for (int split = 0; split < g.splits; ++split) {
    const float* const partial = PartialOf(g, split, row) + panel * kCudaPanelRows + column;
    sum += partial[0];
    if (g.set.pair) up += partial[16];
  }
  const Finish finish = FinishOf(g, g.base, 0);
  if (g.set.pair) {
    EmitPair(g, finish, row, panel, column, sum, up);
  } else {
    Emit(g, finish, row, panel, column, sum);
  }
}

__global__ void __launch_bounds__(kPackThreads)
    GateRows(const float* both, int64_t both_stride, int64_t inter, Epilogue epilogue, float* y, int64_t y_stride) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kPackThreads + threadIdx.x, row = blockIdx.y;
  if (i >= inter) return;
  const float* const from = both + row * both_stride + i;
  y[row * y_stride + i] = Activate(epilogue, from[0], from[inter]);
}

void LaunchFor(const GemmLaunch& launch) {
  switch (launch.args.set.kind) {
    case CudaKind::kF32: return GemmF32(launch);
    case CudaKind::kF16: return GemmF16(launch);
    case CudaKind::kBF16: return GemmBf16(launch);
    case CudaKind::kFp8: return launch.args.set.head_chunks > 0 ? GemmFp8Blocks(launch) : GemmFp8Rows(launch);
    case CudaKind::kFp4: return GemmFp4(launch);
    case CudaKind::kBlocks: return GemmBlocks(launch);
  }
}

uint32_t Blocks(int64_t count, int64_t per_block) { return static_cast<uint32_t>(CeilDiv(count, per_block)); }

int WarpsN(int tile_rows) { return tile_rows / 16; }  // 1, 4, 8
int WarpsK(int tile_rows) { return kGemmThreads / 32 / WarpsN(tile_rows); }

}  // namespace

int TileRows(int64_t rows, int64_t experts) {
  const int64_t average = rows / std::max<int64_t>(experts, 1);
  return average <= 16 ? 16 : average <= 128 ? 64 : 128;
}

namespace {

// A warp should have four chunks at least.
int64_t MaxSplits(int tile_rows, const CudaWeightSet& set) {
  return std::max(set.chunks / (4 * WarpsK(tile_rows)), 1);
}
// As many as a processor holds at a time.
int64_t WantedBlocks(int tile_rows, int processors) {
  return int64_t{processors} * (tile_rows == 128 ? 1 : 2);
}

// Floats of the partial sums of a product of these rows or fewer: 16 rows x 32 columns a warp, of all blocks.
int64_t MaxPartials(const GemmArgs& args, int tile_rows, int processors) {
  const int64_t longest = MaxSplits(tile_rows, args.set), of_blocks = int64_t{tile_rows} * WarpsN(tile_rows) * 32;
  if (args.grouped || longest == 1) return 0;
  return std::min(WantedBlocks(tile_rows, processors) * of_blocks,
                  longest * args.rows * args.set.panels * kCudaPanelRows);
}

}  // namespace

int SplitsFor(int tile_rows, int64_t tiles, const CudaWeightSet& set, int processors) {
  const int64_t blocks = CeilDiv(set.panels, WarpsN(tile_rows)) * tiles, wanted = WantedBlocks(tile_rows, processors);
  return static_cast<int>(std::clamp<int64_t>(blocks > 0 ? wanted / blocks : 1, 1, MaxSplits(tile_rows, set)));
}

int64_t MaxTiles(int64_t rows, int64_t experts, int tile_rows) {
  return experts == 1 ? CeilDiv(rows, tile_rows) : std::min(rows, rows / tile_rows + std::min(rows, experts));
}

void Gemm(GemmArgs args, int tile_rows, Step& step) {
  Scratch::Scope scope(step.scratch());
  const bool full = step.precision() == Precision::kFull;
  const int64_t tiles = args.grouped ? args.max_tiles : CeilDiv(args.rows, tile_rows), terms = full ? 3 : 1;
  if (!args.grouped) args.splits = SplitsFor(tile_rows, tiles, args.set, device::NumProcessors());
  const int tiles16 = tile_rows / 16;
  const int64_t vectors = tiles16 > 1 ? tiles * tiles16 * args.set.chunks * 2 * terms * 32 : 0;
  uint4* const packed = step.scratch().Array<uint4>(vectors);
  args.packed_x = packed;
  args.partial = step.scratch().Array<float>(MaxPartials(args, tile_rows, device::NumProcessors()));
  if (step.measuring() || tiles == 0 || args.set.panels == 0) return;

  if (vectors > 0) {
    const LaunchConfig config{
        .grid = {Blocks(2 * args.set.chunks, kPackThreads / 32), static_cast<uint32_t>(tiles * tiles16)},
        .block = kPackThreads,
        .stream = step.stream()};
    Launch(full ? PackRows<3> : PackRows<1>, config, args, packed, tiles16);
  }
  LaunchFor({args, tile_rows, step.precision(),
             {Blocks(args.set.panels, WarpsN(tile_rows)), static_cast<uint32_t>(tiles),
              static_cast<uint32_t>(args.splits)},
             step.stream()});
  if (args.splits > 1) {
    const int64_t columns = int64_t{args.set.panels} * (args.set.pair ? 16 : 32);
    Launch(SumSplits,
           {.grid = {Blocks(columns, kPackThreads), static_cast<uint32_t>(args.rows)},
            .block = kPackThreads,
            .stream = step.stream()},
           args);
  }
}

void Gate(const float* both, int64_t both_stride, int64_t rows, int64_t inter, Epilogue epilogue, float* y,
          int64_t y_stride, Step& step) {
  if (step.measuring() || rows == 0 || inter == 0) return;
  Launch(GateRows,
         {.grid = {Blocks(inter, kPackThreads), static_cast<uint32_t>(rows)}, .block = kPackThreads,
          .stream = step.stream()},
         both, both_stride, inter, epilogue, y, y_stride);
}

}  // namespace braid::cuda
