// Plain formats and F8_E4M3: weights widened to f32 in registers, products summed over the inputs in turn.
// Private to gemm_cpu.cc.
#pragma once

#include "kernels/linear/gemm_words.h"

namespace braid::cpu::BRAID_ISA {
namespace {

// Rows that pass over one group of panels; their sums lie on the stack.
constexpr int kRowChunk = 64;
// Inputs of plain formats between which the sums rest there, so that a group's weights stay in L2.
constexpr int64_t kDepth = 512;

constexpr int kMaxPanels = kWidth == 16 ? 4 : 2;  // of plain formats, side by side
constexpr int kFloatRows = 4;
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

// ---- F8_E4M3

// E4M3's codes are widened to 2^-8 of their value.
constexpr float kFp8Unit = 256.0f;

// Adds to sums[v][r] the products of one group: `count` inputs of R rows at `x` and V registers of output rows.
template <int R, int V>
void Fp8Kernel(const PanelSet& set, int64_t first_panel, int64_t offset, const float* x, int64_t stride, int64_t count,
               float* sums) {
  const uint8_t* weights[V];
  for (int v = 0; v < V; ++v) {
    const std::byte* const group = set.panel(first_panel + v / kPasses) + offset;
    weights[v] = reinterpret_cast<const uint8_t*>(group) + v % kPasses * kWidth;
  }
  Floats sum[V][R];
  for (int v = 0; v < V; ++v) {
    for (int r = 0; r < R; ++r) sum[v][r] = ZeroFloats();
  }
  for (int64_t k = 0; k < count; ++k) {
    for (int v = 0; v < V; ++v) {
      const Floats weight = WidenE4m3(weights[v] + k * kPanelRows);
      for (int r = 0; r < R; ++r) sum[v][r] = FmaFloats(weight, Broadcast(x[r * stride + k]), sum[v][r]);
    }
  }
  for (int v = 0; v < V; ++v) {
    // The group's scales stand behind its codes.
    const uint8_t* const scales = weights[v] + count * kPanelRows + v % kPasses * kWidth * 3;
    const Floats scale = MulFloats(LoadFloats(reinterpret_cast<const float*>(scales)), Broadcast(kFp8Unit));
    for (int r = 0; r < R; ++r) {
      float* const place = sums + (v / kPasses * kRowChunk + r) * kPanelRows + v % kPasses * kWidth;
      StoreFloats(place, FmaFloats(sum[v][r], scale, LoadFloats(place)));
    }
  }
}

template <int V>
void Fp8Rows(const PanelSet& set, int64_t panel, const TensorView& x, int64_t first, int rows, float* sums) {
  using Kernel = void (*)(const PanelSet&, int64_t, int64_t, const float*, int64_t, int64_t, float*);
  static constexpr Kernel kKernels[kFloatRows] = {Fp8Kernel<1, V>, Fp8Kernel<2, V>, Fp8Kernel<3, V>, Fp8Kernel<4, V>};
  int64_t offset = 0;
  for (int64_t begin = 0; begin < x.cols; begin += set.depth) {
    const int64_t count = x.cols - begin < set.depth ? x.cols - begin : set.depth;
    for (int r = 0; r < rows; r += kFloatRows) {
      const int left = rows - r < kFloatRows ? rows - r : kFloatRows;
      kKernels[left - 1](set, panel, offset, x.row(first + r) + begin, x.stride, count, sums + r * kPanelRows);
    }
    offset += kPanelRows * (count + 4);
  }
}

// The sums of `panels` panels from `panel` on, which are 1, 2 or 4.
void Fp8Panels(const PanelSet& set, int64_t panel, int panels, const TensorView& x, int64_t first, int rows,
               Sums& sums) {
  for (int p = 0; p < panels; ++p) memset(sums.values[p], 0, sizeof(sums.values[p][0]) * static_cast<size_t>(rows));
  float* const out = &sums.values[0][0][0];
  switch (panels) {
    case 1: return Fp8Rows<kPasses>(set, panel, x, first, rows, out);
    case 2: return Fp8Rows<2 * kPasses>(set, panel, x, first, rows, out);
    default: return Fp8Rows<kMaxPanels * kPasses>(set, panel, x, first, rows, out);
  }
}

}  // namespace
}  // namespace braid::cpu::BRAID_ISA
