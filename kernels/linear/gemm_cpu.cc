// y = x W^T over panels of 16 output rows. A register's lanes are output rows; the input is walked in one order, so
// an output's bits depend neither on the rows beside it nor on threads nor on the instruction set.
//   plain formats:  acc = fma(w, x, acc) for each input in turn, w widened to f32
//   F8_E4M3:        the same within a group of `depth` inputs; acc = fma(group's sum, its scale, acc)
//   block formats:  acc = fma(dot, w_scale * x_scale, acc), then where there are minima
//                   acc = fma(w_min, x_scale * sum(x codes), acc), for each 32 or 16 inputs of one scale in turn; dot
//                   is an exact integer
// One row is bound by reading the weights once; many rows by integer (or FMA) throughput: rows are taken in chunks
// whose activations stay in L2 while a group of panels passes, and a panel's block serves up to 8 rows once decoded.
#include "kernels/linear/gemm_cpu.h"

#include "kernels/float_types.h"

#include "kernels/linear/gemm_floats.h"
#include "kernels/linear/gemm_formats.h"

namespace braid::cpu::BRAID_ISA {
namespace {

constexpr int kBlockRows = kWidth == 16 ? 8 : 4;  // rows at a time: what the registers hold

// ---- block formats

constexpr bool IsFp4(DType dtype) { return dtype == DType::kNVFP4 || dtype == DType::kMXFP4; }

// What the sums of E2M1 formats are multiplied with at last: their codes are doubled, E4M3's scales 2^-8 of themselves.
float UnitOf(const PanelSet& set) { return set.global * (set.dtype == DType::kNVFP4 ? 128.0f : 0.5f); }

// Few rows wait for memory: the hardware's prefetch stops at each page, ours goes on into the next panel.
// Past the weight's end it is harmless.
constexpr int kPrefetchRows = 2;
constexpr int kPrefetchBytes = 4096;

template <int kBytes>
BRAID_WORD void Prefetch(const uint8_t* p) {
#pragma GCC unroll 16
  for (int at = 0; at < kBytes; at += 64) _mm_prefetch(p + at, _MM_HINT_T0);
}

// Steps [i, end) of group `g`, of all that a Dot may take.
template <class Format, int g, int i, int end, int R>
BRAID_WORD void Steps(const uint8_t* planes, const QuantizedBlock* x, typename Format::Dot (&dots)[R]) {
  if constexpr (i < end) {
    constexpr int s = Format::kGroups == 2 ? 4 * g + i : i % 2 * 4 + i / 2;  // both halves of a unit in turn
    const auto weights = Format::template At<Format::kType, s>(planes);
    for (int r = 0; r < R; ++r) dots[r].Step(weights, x[r].high + 4 * s, x[r].low + 4 * s);
    Steps<Format, g, i + 1, end>(planes, x, dots);
  }
}

// Adds the dots of steps [begin, all) of group `g` to `totals`, which steps before `begin` have begun.
template <class Format, int g, int begin, int R>
BRAID_WORD void Totals(const uint8_t* planes, const QuantizedBlock* x, Codes (&totals)[R]) {
  constexpr int kAll = 8 / Format::kGroups, kEnd = begin + (Format::kSteps < kAll ? Format::kSteps : kAll);
  typename Format::Dot dots[R];
  for (int r = 0; r < R; ++r) dots[r].Start();
  Steps<Format, g, begin, kEnd>(planes, x, dots);
  for (int r = 0; r < R; ++r) {
    totals[r] = AddCodes(begin == 0 ? BroadcastCode(Format::Offset(x[r], g)) : totals[r], dots[r].Total());
  }
  if constexpr (kEnd < kAll) Totals<Format, g, kEnd>(planes, x, totals);
}

// Adds group `g` of a block.
template <class Format, int g, int R>
BRAID_WORD void Group(const Head& head, const uint8_t* block, int lane, const QuantizedBlock* x, Floats (&sum)[R]) {
  const uint8_t* const scales = block + Format::kLayout.code_bytes();
  Codes totals[R];
  Totals<Format, g, 0>(block + 4 * lane, x, totals);
  if constexpr (HasZero<Format>) {
    const Codes zero = Format::Zero(scales, lane);
    for (int r = 0; r < R; ++r) {
      totals[r] = AddCodes(totals[r], MulCodes(zero, BroadcastCode(x[r].minus_8_sums / 8)));
    }
  }
  const Floats scale = Format::Scale(head, scales, lane, g);
  for (int r = 0; r < R; ++r) {
    sum[r] = FmaFloats(ToFloats(totals[r]), MulFloats(scale, Broadcast(x[r].scale)), sum[r]);
  }
  if constexpr (Format::kHasMin) {
    const Floats min = Format::Min(head, scales, lane, g);
    for (int r = 0; r < R; ++r) sum[r] = FmaFloats(min, Broadcast(Format::ScaledSum(x[r], g)), sum[r]);
  }
}

// The sums of R rows, whose blocks lie side by side, `stride` blocks from input block to input block; times `unit`.
template <class Format, int R>
void BlockKernel(const std::byte* panel, int64_t blocks, const QuantizedBlock* rows, int64_t stride, float unit,
                 float* sums) {
  constexpr PanelFormat kLayout = Format::kLayout;
  for (int lane = 0; lane < kPanelRows; lane += kWidth) {
    const uint8_t* block = reinterpret_cast<const uint8_t*>(panel);
    const QuantizedBlock* x = rows;
    Head head = {ZeroFloats(), ZeroFloats()};
    Floats sum[R];
    for (int r = 0; r < R; ++r) sum[r] = ZeroFloats();
    for (int64_t b = 0; b < blocks; ++b, block += kLayout.block_bytes(), x += stride) {
      if (kLayout.head > 0 && b % kHeadBlocks == 0) {
        head = Head::Load(block, lane, Format::kHasMin);
        block += kLayout.head;
      }
      if constexpr (R <= kPrefetchRows) Prefetch<kLayout.block_bytes()>(block + kPrefetchBytes);
      Group<Format, 0>(head, block, lane, x, sum);
      if constexpr (Format::kGroups == 2) Group<Format, 1>(head, block, lane, x, sum);
    }
    for (int r = 0; r < R; ++r) {
      StoreFloats(sums + r * kPanelRows + lane, IsFp4(Format::kType) ? MulFloats(sum[r], Broadcast(unit)) : sum[r]);
    }
  }
}

template <class Format>
void BlockPanel(const PanelSet& set, int64_t panel, const GemmInput& input, int64_t first, int rows, Sums& sums) {
  using Kernel = void (*)(const std::byte*, int64_t, const QuantizedBlock*, int64_t, float, float*);
  static constexpr Kernel kKernels[8] = {BlockKernel<Format, 1>, BlockKernel<Format, 2>, BlockKernel<Format, 3>,
                                         BlockKernel<Format, 4>, BlockKernel<Format, kBlockRows == 8 ? 5 : 1>,
                                         BlockKernel<Format, kBlockRows == 8 ? 6 : 1>,
                                         BlockKernel<Format, kBlockRows == 8 ? 7 : 1>,
                                         BlockKernel<Format, kBlockRows>};
  const int64_t blocks = BlocksOf(input.x.cols);
  for (int r = 0; r < rows; r += kBlockRows) {
    const int64_t tile = (first + r) / kRowTile * kRowTile, left = input.x.rows - tile;
    const int64_t tile_rows = left < kRowTile ? left : kRowTile;
    const QuantizedBlock* const x = input.blocks + tile * blocks + (first + r - tile);
    const int count = rows - r < kBlockRows ? rows - r : kBlockRows;
    kKernels[count - 1](set.panel(panel), blocks, x, tile_rows, UnitOf(set), sums.values[0][r]);
  }
}

// ---- one group of panels

int PanelsAtOnce(DType dtype, int64_t left) {
  const bool blocks = BlockOf(dtype).elements > 1;
  if (blocks || left < 2) return 1;
  return left < kMaxPanels ? 2 : kMaxPanels;
}

void PanelGroup(const PanelSet& set, int64_t panel, int panels, const GemmInput& input, int64_t first, int rows,
                Sums& sums) {
  switch (set.dtype) {
    case DType::kF32: return FloatPanels<F32Format>(set, panel, panels, input.x, first, rows, sums);
    case DType::kF16: return FloatPanels<F16Format>(set, panel, panels, input.x, first, rows, sums);
    case DType::kBF16: return FloatPanels<Bf16Format>(set, panel, panels, input.x, first, rows, sums);
    case DType::kF8E4M3: return Fp8Panels(set, panel, panels, input.x, first, rows, sums);
    case DType::kQ8_0: return BlockPanel<Q8_0Format>(set, panel, input, first, rows, sums);
    case DType::kQ4_0: return BlockPanel<Q4_0Format>(set, panel, input, first, rows, sums);
    case DType::kQ4_1: return BlockPanel<Q4_1Format>(set, panel, input, first, rows, sums);
    case DType::kQ5_0: return BlockPanel<Q5_0Format>(set, panel, input, first, rows, sums);
    case DType::kQ5_1: return BlockPanel<Q5_1Format>(set, panel, input, first, rows, sums);
    case DType::kIQ4_NL: return BlockPanel<Iq4NlFormat>(set, panel, input, first, rows, sums);
    case DType::kInt4: return BlockPanel<Int4Format>(set, panel, input, first, rows, sums);
    case DType::kInt8: return BlockPanel<Int8Format>(set, panel, input, first, rows, sums);
    case DType::kQ2_K: return BlockPanel<Q2_KFormat>(set, panel, input, first, rows, sums);
    case DType::kQ3_K: return BlockPanel<Q3_KFormat>(set, panel, input, first, rows, sums);
    case DType::kQ4_K: return BlockPanel<Q4_KFormat>(set, panel, input, first, rows, sums);
    case DType::kQ5_K: return BlockPanel<Q5_KFormat>(set, panel, input, first, rows, sums);
    case DType::kQ6_K: return BlockPanel<Q6_KFormat>(set, panel, input, first, rows, sums);
    case DType::kNVFP4: return BlockPanel<NvFp4Format>(set, panel, input, first, rows, sums);
    default: return BlockPanel<MxFp4Format>(set, panel, input, first, rows, sums);
  }
}

BRAID_WORD V16 Relu2(V16 v) {
  const V16 positive = Max(Zero(), v);  // NaN stays NaN
  return Mul(positive, positive);
}

// x sigmoid(2 z) = x / 2 (1 + tanh z)
BRAID_WORD V16 Gelu(V16 x) {
  const V16 cube = Mul(x, Mul(x, x)), z = Mul(Set1(0.79788456f), Fma(Set1(0.044715f), cube, x));
  return Mul(x, Sigmoid(Add(z, z)));
}

BRAID_WORD V16 ClampedGate(V16 gate, V16 up) {
  const V16 limit = Set1(7.0f), g = Min(limit, gate), u = Max(Set1(-7.0f), Min(limit, up));
  return Mul(Mul(g, Sigmoid(Mul(Set1(1.702f), g))), Add(u, Set1(1.0f)));
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
    if (output.epilogue == Epilogue::kGelu) v = Gelu(v);
    Store(y, v, lanes);
  }
}

void StoreGated(const float (*gate)[kPanelRows], const float (*up)[kPanelRows], int64_t column, int lanes,
                const GemmOutput& output, int64_t first, int rows) {
  const bool has_bias = output.bias != nullptr;
  const V16 gate_bias = has_bias ? Load(output.bias + column, lanes) : Zero();
  const V16 up_bias = has_bias ? Load(output.bias + output.y.cols + column, lanes) : Zero();
  for (int r = 0; r < rows; ++r) {
    V16 g = Load(gate[r]), u = Load(up[r]);
    if (has_bias) g = Add(g, gate_bias), u = Add(u, up_bias);
    const V16 v = output.epilogue == Epilogue::kClampedGate ? ClampedGate(g, u) : Mul(Silu(g), u);
    Store(output.y.row(first + r) + column, v, lanes);
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
  if (IsGated(output.epilogue)) return PairPanels(input, sets[0], sets[1], range, output, first, rows);
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

// The integer nearest to `x`; 0 for NaN.
BRAID_WORD int32_t ToInt(float x) {
  const __m128 word = _mm_set_ss(x);
  return _mm_cvtss_si32(_mm_and_ps(word, _mm_cmpord_ss(word, word)));
}

// The largest magnitude takes code kMaxCode; the others round to nearest, ties to even.
constexpr float kMaxCode = 127 * 256;

BRAID_WORD void StorePlanes(V16 code, int8_t* high, int8_t* low) {
  const V16 upper = Round(Fma(code, Set1(1.0f / 256), Set1(0.5f / 256)));  // never a tie
  StoreCodes(high, upper);
  StoreCodes(low, Fma(upper, Set1(-256.0f), code));
}

BRAID_WORD void QuantizeBlock(const float* x, QuantizedBlock* block) {
  const V16 a = Load(x), b = Load(x + 16);
  const float largest = MaxLane(Max(Abs(a), Abs(b)));
  const float poison = Sum(Add(Mul(a, Zero()), Mul(b, Zero())));  // NaN unless all are finite
  const float inverse = largest > 1e-30f ? kMaxCode / largest : 0.0f;
  const V16 code_a = Round(Mul(a, Set1(inverse))), code_b = Round(Mul(b, Set1(inverse)));
  const float first_sum = Sum(code_a), sum = first_sum + Sum(code_b);  // of integers: exact
  StorePlanes(code_a, block->high, block->low);
  StorePlanes(code_b, block->high + 16, block->low + 16);
  block->scale = largest / kMaxCode + poison;
  block->scaled_sum = block->scale * sum;
  block->minus_8_sums = ToInt(-8 * sum);
  block->minus_8_first_sums = ToInt(-8 * first_sum);
}

}  // namespace

void QuantizeRow(const float* row, int64_t count, int64_t index, int64_t rows, QuantizedBlock* blocks) {
  const int64_t num_blocks = BlocksOf(count), tile = index / kRowTile * kRowTile;
  const int64_t stride = rows - tile < kRowTile ? rows - tile : kRowTile;
  QuantizedBlock* out = blocks + tile * num_blocks + (index - tile);
  const int64_t whole = count / kBlockCols;
  for (int64_t b = 0; b < whole; ++b) QuantizeBlock(row + b * kBlockCols, out + b * stride);
  if (whole == num_blocks) return;
  float last[kBlockCols] = {};
  memcpy(last, row + whole * kBlockCols, static_cast<size_t>(count % kBlockCols) * sizeof(float));
  QuantizeBlock(last, out + whole * stride);
}

void Gemm(const GemmInput& input, const CpuPackedWeight& weight, const GemmOutput& output, const Share& share) {
  const int parts = RowParts(input.x.rows, weight.num_panels(), share.count);
  const Share::Range rows = Share{share.index % parts, parts}.Of(input.x.rows, kRowTile);
  const Share::Range panels = Share{share.index / parts, share.count / parts}.Of(weight.num_panels());
  for (int64_t first = rows.begin; first < rows.end; first += kRowChunk) {
    const int64_t left = rows.end - first;
    Chunk(input, weight, {panels.begin, panels.end}, output, first,
          static_cast<int>(left < kRowChunk ? left : kRowChunk));
  }
}

}  // namespace braid::cpu::BRAID_ISA
