// y = x W^T over panels of 16 output rows. A register's lanes are output rows; the input is walked in one order, so
// an output's bits depend neither on the rows beside it nor on threads nor on the instruction set.
//   plain formats:  acc = fma(w, x, acc) for each input in turn, w widened to f32
//   block formats:  acc = fma(dot, w_scale * x_scale, acc), then for Q4_1 acc = fma(w_min, x_scale * sum(x codes), acc),
//                   for each block of 32 in turn; dot is an exact integer
// One row is bound by reading the weights once; many rows by integer (or FMA) throughput: rows are taken in chunks
// whose activations stay in L2 while a group of panels passes, and a panel's block serves up to 8 rows once decoded.
#include "kernels/linear/gemm_cpu.h"

#include "kernels/float_types.h"

#include "kernels/linear/gemm_words.h"

namespace braid::cpu::BRAID_ISA {
namespace {

// Rows that pass over one group of panels; their sums lie on the stack.
constexpr int kRowChunk = 64;
// Inputs of plain formats between which the sums rest there, so that a group's weights stay in L2.
constexpr int64_t kDepth = 512;

constexpr int kMaxPanels = kWidth == 16 ? 4 : 2;  // of plain formats, side by side
constexpr int kFloatRows = 4;
constexpr int kBlockRows = kWidth == 16 ? 8 : 4;  // rows at a time: what the registers hold
constexpr int kPasses = kPanelRows / kWidth;      // registers to a panel

// The sums of a chunk of rows for up to kMaxPanels panels: [panels][rows][16].
struct Sums {
  alignas(64) float values[kMaxPanels][kRowChunk][kPanelRows];
};

// ---- plain formats

struct F32Format {
  using Element = float;
  BRAID_WORD static Floats Widen(const Element* p) { return LoadFloats(p); }
};
struct F16Format {
  using Element = uint16_t;
  BRAID_WORD static Floats Widen(const Element* p) { return WidenF16(p); }
};
struct Bf16Format {
  using Element = uint16_t;
  BRAID_WORD static Floats Widen(const Element* p) { return WidenBf16(p); }
};

// sums[v][r] (+)= the products of R rows at `x` and V registers of output rows over inputs [begin, end).
template <class Format, int R, int V>
void FloatKernel(const PanelSet& set, int64_t first_panel, const float* x, int64_t stride, int64_t begin, int64_t end,
                 float* sums) {
  const typename Format::Element* weights[V];
  for (int v = 0; v < V; ++v) {
    const std::byte* const panel = set.panel(first_panel + v / kPasses);
    weights[v] = reinterpret_cast<const typename Format::Element*>(panel) + v % kPasses * kWidth;
  }
  const auto place = [&](int v, int r) {
    return sums + (v / kPasses * kRowChunk + r) * kPanelRows + v % kPasses * kWidth;
  };
  Floats sum[V][R];
  for (int v = 0; v < V; ++v) {
    for (int r = 0; r < R; ++r) sum[v][r] = begin == 0 ? ZeroFloats() : LoadFloats(place(v, r));
  }
  for (int64_t k = begin; k < end; ++k) {
    for (int v = 0; v < V; ++v) {
      const Floats weight = Format::Widen(weights[v] + k * kPanelRows);
      for (int r = 0; r < R; ++r) sum[v][r] = FmaFloats(weight, Broadcast(x[r * stride + k]), sum[v][r]);
    }
  }
  for (int v = 0; v < V; ++v) {
    for (int r = 0; r < R; ++r) StoreFloats(place(v, r), sum[v][r]);
  }
}

template <class Format, int V>
void FloatRows(const PanelSet& set, int64_t panel, const TensorView& x, int64_t first, int rows, float* sums) {
  using Kernel = void (*)(const PanelSet&, int64_t, const float*, int64_t, int64_t, int64_t, float*);
  static constexpr Kernel kKernels[kFloatRows] = {FloatKernel<Format, 1, V>, FloatKernel<Format, 2, V>,
                                                  FloatKernel<Format, 3, V>, FloatKernel<Format, 4, V>};
  int64_t begin = 0;
  do {
    const int64_t end = x.cols - begin > kDepth ? begin + kDepth : x.cols;
    for (int r = 0; r < rows; r += kFloatRows) {
      const int count = rows - r < kFloatRows ? rows - r : kFloatRows;
      kKernels[count - 1](set, panel, x.row(first + r), x.stride, begin, end, sums + r * kPanelRows);
    }
    begin = end;
  } while (begin < x.cols);
}

// The sums of `panels` panels from `panel` on, which are 1, 2 or 4.
template <class Format>
void FloatPanels(const PanelSet& set, int64_t panel, int panels, const TensorView& x, int64_t first, int rows,
                 Sums& sums) {
  float* const out = &sums.values[0][0][0];
  switch (panels) {
    case 1: return FloatRows<Format, kPasses>(set, panel, x, first, rows, out);
    case 2: return FloatRows<Format, 2 * kPasses>(set, panel, x, first, rows, out);
    default: return FloatRows<Format, kMaxPanels * kPasses>(set, panel, x, first, rows, out);
  }
}

// ---- block formats

struct Q4Weights {
  static constexpr int kLoads = 4, kBlockBytes = 256;
  using Dot = PlanesDot<HalfDot>;
  template <int R>
  BRAID_WORD static void Step(const uint8_t* codes, int g, const QuantizedBlock* x, Dot (&dots)[R]) {
    const Codes bytes = LoadCodes(codes + 64 * g), low = LowHalves(bytes), high = HighHalves(bytes);
    for (int r = 0; r < R; ++r) dots[r].Step(low, x[r].high + 4 * g, x[r].low + 4 * g);
    for (int r = 0; r < R; ++r) dots[r].Step(high, x[r].high + 16 + 4 * g, x[r].low + 16 + 4 * g);
  }
};
struct Q4_0Format : Q4Weights {
  static constexpr bool kHasMin = false;
  BRAID_WORD static int32_t Offset(const QuantizedBlock& x) { return x.minus_8_sums; }
};
struct Q4_1Format : Q4Weights {
  static constexpr bool kHasMin = true;
  BRAID_WORD static int32_t Offset(const QuantizedBlock&) { return 0; }
};
struct Q8_0Format {
  static constexpr int kLoads = 8, kBlockBytes = 512;
  static constexpr bool kHasMin = false;
  using Dot = PlanesDot<ByteDot>;
  template <int R>
  BRAID_WORD static void Step(const uint8_t* codes, int g, const QuantizedBlock* x, Dot (&dots)[R]) {
    const ByteWeights weights = ByteWeights::Load(codes + 64 * g);
    for (int r = 0; r < R; ++r) dots[r].Step(weights, x[r].high + 4 * g, x[r].low + 4 * g);
  }
  BRAID_WORD static int32_t Offset(const QuantizedBlock& x) { return x.minus_128_sums; }
};

// Few rows wait for memory: the hardware's prefetch stops at each page, ours goes on into the next panel.
// Past the weight's end it is harmless.
constexpr int kPrefetchRows = 2;
constexpr int kPrefetchBytes = 4096;

template <int kBytes>
BRAID_WORD void Prefetch(const uint8_t* p) {
#pragma GCC unroll 16
  for (int at = 0; at < kBytes; at += 64) _mm_prefetch(p + at, _MM_HINT_T0);
}

// The sums of R rows, whose blocks lie side by side, `stride` blocks from input block to input block.
template <class Format, int R>
void BlockKernel(const std::byte* panel, int64_t blocks, const QuantizedBlock* rows, int64_t stride, float* sums) {
  constexpr int kStep = Format::kBlockBytes + 2 * kPanelRows * (Format::kHasMin ? 2 : 1);
  for (int lane = 0; lane < kPanelRows; lane += kWidth) {
    const uint8_t* codes = reinterpret_cast<const uint8_t*>(panel) + 4 * lane;
    const QuantizedBlock* x = rows;
    Floats sum[R];
    for (int r = 0; r < R; ++r) sum[r] = ZeroFloats();
    for (int64_t b = 0; b < blocks; ++b, codes += kStep, x += stride) {
      if constexpr (R <= kPrefetchRows) Prefetch<kStep>(codes + kPrefetchBytes);
      const uint16_t* const scales = reinterpret_cast<const uint16_t*>(codes - 4 * lane + Format::kBlockBytes) + lane;
      typename Format::Dot dots[R];
      for (int r = 0; r < R; ++r) dots[r].Start();
#pragma GCC unroll 8
      for (int g = 0; g < Format::kLoads; ++g) Format::Step(codes, g, x, dots);
      const Floats scale = WidenF16(scales);
      for (int r = 0; r < R; ++r) {
        const Floats dot = dots[r].Finish(Format::Offset(x[r]));
        sum[r] = FmaFloats(dot, MulFloats(scale, Broadcast(x[r].scale)), sum[r]);
      }
      if constexpr (Format::kHasMin) {
        const Floats min = WidenF16(scales + kPanelRows);
        for (int r = 0; r < R; ++r) sum[r] = FmaFloats(min, Broadcast(x[r].scaled_sum), sum[r]);
      }
    }
    for (int r = 0; r < R; ++r) StoreFloats(sums + r * kPanelRows + lane, sum[r]);
  }
}

template <class Format>
void BlockPanel(const std::byte* panel, const GemmInput& input, int64_t first, int rows, Sums& sums) {
  using Kernel = void (*)(const std::byte*, int64_t, const QuantizedBlock*, int64_t, float*);
  static constexpr Kernel kKernels[8] = {BlockKernel<Format, 1>, BlockKernel<Format, 2>, BlockKernel<Format, 3>,
                                         BlockKernel<Format, 4>, BlockKernel<Format, kBlockRows == 8 ? 5 : 1>,
                                         BlockKernel<Format, kBlockRows == 8 ? 6 : 1>,
                                         BlockKernel<Format, kBlockRows == 8 ? 7 : 1>,
                                         BlockKernel<Format, kBlockRows>};
  const int64_t blocks = input.x.cols / kBlockCols;
  for (int r = 0; r < rows; r += kBlockRows) {
    const int64_t tile = (first + r) / kRowTile * kRowTile, left = input.x.rows - tile;
    const int64_t tile_rows = left < kRowTile ? left : kRowTile;
    const QuantizedBlock* const x = input.blocks + tile * blocks + (first + r - tile);
    const int count = rows - r < kBlockRows ? rows - r : kBlockRows;
    kKernels[count - 1](panel, blocks, x, tile_rows, sums.values[0][r]);
  }
}

// ---- one group of panels

int PanelsAtOnce(DType dtype, int64_t left) {
  const bool plain = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
  if (!plain || left < 2) return 1;
  return left < kMaxPanels ? 2 : kMaxPanels;
}

void PanelGroup(const PanelSet& set, int64_t panel, int panels, const GemmInput& input, int64_t first, int rows,
                Sums& sums) {
  switch (set.dtype) {
    case DType::kF32: return FloatPanels<F32Format>(set, panel, panels, input.x, first, rows, sums);
    case DType::kF16: return FloatPanels<F16Format>(set, panel, panels, input.x, first, rows, sums);
    case DType::kBF16: return FloatPanels<Bf16Format>(set, panel, panels, input.x, first, rows, sums);
    case DType::kQ8_0: return BlockPanel<Q8_0Format>(set.panel(panel), input, first, rows, sums);
    case DType::kQ4_0: return BlockPanel<Q4_0Format>(set.panel(panel), input, first, rows, sums);
    default: return BlockPanel<Q4_1Format>(set.panel(panel), input, first, rows, sums);
  }
}

BRAID_WORD V16 Relu2(V16 v) {
  const V16 positive = Max(Zero(), v);  // NaN stays NaN
  return Mul(positive, positive);
}

void StorePanel(const float (*sums)[kPanelRows], int64_t column, int lanes, const GemmOutput& output, int64_t first,
                int rows) {
  const V16 bias = output.bias != nullptr ? Load(output.bias + column, lanes) : Zero();
  for (int r = 0; r < rows; ++r) {
    float* const y = output.y.row(first + r) + column;
    V16 v = Load(sums[r]);
    if (output.bias != nullptr) v = Add(v, bias);
    if (output.epilogue == Epilogue::kAdd) v = Add(Load(y, lanes), v);
    if (output.epilogue == Epilogue::kRelu2) v = Relu2(v);
    Store(y, v, lanes);
  }
}

void StoreGated(const float (*gate)[kPanelRows], const float (*up)[kPanelRows], int64_t column, int lanes,
                const GemmOutput& output, int64_t first, int rows) {
  for (int r = 0; r < rows; ++r) {
    Store(output.y.row(first + r) + column, Mul(Silu(Load(gate[r])), Load(up[r])), lanes);
  }
}

int LanesOf(const PanelSet& set, int64_t panel) {
  const int64_t left = set.rows - panel * kPanelRows;
  return static_cast<int>(left < kPanelRows ? left : kPanelRows);
}

struct PanelRange {
  int64_t begin, end;
};

void PlainPanels(const GemmInput& input, const PanelSet& set, PanelRange range, const GemmOutput& output,
                 int64_t first, int rows) {
  Sums sums;
  for (int64_t panel = range.begin; panel < range.end;) {
    const int count = PanelsAtOnce(set.dtype, range.end - panel);
    PanelGroup(set, panel, count, input, first, rows, sums);
    for (int p = 0; p < count; ++p, ++panel) {
      const int64_t column = set.first_row + panel * kPanelRows;
      StorePanel(sums.values[p], column, LanesOf(set, panel), output, first, rows);
    }
  }
}

void PairPanels(const GemmInput& input, const PanelSet& gate, const PanelSet& up, PanelRange range,
                const GemmOutput& output, int64_t first, int rows) {
  Sums gates, ups;
  for (int64_t panel = range.begin; panel < range.end;) {
    const int left = static_cast<int>(range.end - panel), of_up = PanelsAtOnce(up.dtype, left);
    int count = PanelsAtOnce(gate.dtype, left);
    if (of_up < count) count = of_up;
    PanelGroup(gate, panel, count, input, first, rows, gates);
    PanelGroup(up, panel, count, input, first, rows, ups);
    for (int p = 0; p < count; ++p, ++panel) {
      StoreGated(gates.values[p], ups.values[p], panel * kPanelRows, LanesOf(gate, panel), output, first, rows);
    }
  }
}

// Rows [first, first + rows) of panels `range`, counted through all sets.
void Chunk(const GemmInput& input, const CpuPackedWeight& weight, PanelRange range, const GemmOutput& output,
           int64_t first, int rows) {
  const PanelSet* const sets = weight.sets().data();
  if (output.epilogue == Epilogue::kSiluGate) return PairPanels(input, sets[0], sets[1], range, output, first, rows);
  int64_t passed = 0;
  for (size_t s = 0; s < weight.sets().size(); ++s) {
    const PanelSet& set = sets[s];
    const int64_t begin = range.begin - passed, end = range.end - passed;
    PlainPanels(input, set, {begin > 0 ? begin : 0, end < set.panels ? end : set.panels}, output, first, rows);
    passed += set.panels;
  }
}

// How a team divides a product: panels first; rows too where there are many of them and few panels.
int RowParts(int64_t rows, int64_t panels, int members) {
  int parts = 1;
  while (members % (2 * parts) == 0 && panels * parts < 8 * members && rows >= 2 * parts * kRowChunk) parts *= 2;
  return parts;
}

// The integer nearest to `x`; any for NaN.
BRAID_WORD int32_t ToInt(float x) { return _mm_cvtss_si32(_mm_set_ss(x)); }

// The largest magnitude takes code kMaxCode; the others round to nearest, ties to even.
constexpr float kMaxCode = 127 * 128;

BRAID_WORD void StorePlanes(V16 code, int8_t* high, int8_t* low) {
  const V16 upper = Round(Mul(code, Set1(1.0f / 128)));
  StoreCodes(high, upper);
  StoreCodes(low, Fma(upper, Set1(-128.0f), code));
}

BRAID_WORD void QuantizeBlock(const float* x, QuantizedBlock* block) {
  const V16 a = Load(x), b = Load(x + 16);
  const float largest = MaxLane(Max(Abs(a), Abs(b)));
  const float poison = Sum(Add(Mul(a, Zero()), Mul(b, Zero())));  // NaN unless all are finite
  const float inverse = largest > 1e-30f ? kMaxCode / largest : 0.0f;
  const V16 code_a = Round(Mul(a, Set1(inverse))), code_b = Round(Mul(b, Set1(inverse)));
  const float sum = Sum(Add(code_a, code_b));  // of integers: exact
  StorePlanes(code_a, block->high, block->low);
  StorePlanes(code_b, block->high + 16, block->low + 16);
  block->scale = largest / kMaxCode + poison;
  block->scaled_sum = block->scale * sum;
  block->minus_8_sums = ToInt(-8 * sum);
  block->minus_128_sums = ToInt(-128 * sum);
}

}  // namespace

void QuantizeRow(const float* row, int64_t count, int64_t index, int64_t rows, QuantizedBlock* blocks) {
  const int64_t num_blocks = count / kBlockCols, tile = index / kRowTile * kRowTile;
  const int64_t stride = rows - tile < kRowTile ? rows - tile : kRowTile;
  QuantizedBlock* out = blocks + tile * num_blocks + (index - tile);
  for (int64_t b = 0; b < num_blocks; ++b) QuantizeBlock(row + b * kBlockCols, out + b * stride);
}

void Gemm(const GemmInput& input, const CpuPackedWeight& weight, const GemmOutput& output, const Share& share) {
  const int parts = RowParts(input.x.rows, weight.num_panels(), share.count);
  const Share::Range rows = Share{share.index % parts, parts}.Of(input.x.rows, kRowTile);
  const Share::Range panels = Share{share.index / parts, share.count / parts}.Of(weight.num_panels());
  for (int64_t first = rows.begin; first < rows.end; first += kRowChunk) {
    const int64_t left = rows.end - first;
    Chunk(input, weight, {panels.begin, panels.end}, output, first, static_cast<int>(left < kRowChunk ? left : kRowChunk));
  }
}

}  // namespace braid::cpu::BRAID_ISA
