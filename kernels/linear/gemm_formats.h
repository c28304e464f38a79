// The block formats of panel_format.h in registers: weight codes step by step, scales and minima as floats.
// Private to gemm_cpu.cc.
#pragma once

#include "kernels/linear/gemm_words.h"

namespace braid::cpu::BRAID_ISA {

// ---- codes: At<kType, s>(planes) gives step s; a Dot may take kSteps of them

struct NibbleCodes {
  using Dot = PlanesDot<HalfDot>;
  static constexpr int kSteps = HalfSteps(15);
  template <DType kType, int s>
  BRAID_WORD static Codes At(const uint8_t* planes) {
    const Codes unit = LoadCodes(planes + s % 4 * kUnitBytes);
    return s < 4 ? LowHalves(unit) : HighHalves(unit);
  }
};

// The two bits of step s, moved up by kShift.
template <DType kType, int s, int kShift>
BRAID_WORD Codes PairAt(const uint8_t* planes) {
  const uint8_t* const pairs = planes + PanelFormatOf(kType).nibbles;
  return MoveBits<kShift - s % 4 * 2>(LoadCodes(pairs + s / 4 * kUnitBytes), 3 << kShift);
}
// The one bit.
template <DType kType, int s, int kShift>
BRAID_WORD Codes BitAt(const uint8_t* planes) {
  constexpr PanelFormat kFormat = PanelFormatOf(kType);
  return MoveBits<kShift - s>(LoadCodes(planes + kFormat.nibbles + kFormat.pairs), 1 << kShift);
}

struct FiveBitCodes {
  using Dot = PlanesDot<HalfDot>;
  static constexpr int kSteps = HalfSteps(31);
  template <DType kType, int s>
  BRAID_WORD static Codes At(const uint8_t* planes) {
    return OrCodes(NibbleCodes::At<kType, s>(planes), BitAt<kType, s, 4>(planes));
  }
};
struct SixBitCodes {
  using Dot = PlanesDot<HalfDot>;
  static constexpr int kSteps = HalfSteps(63);
  template <DType kType, int s>
  BRAID_WORD static Codes At(const uint8_t* planes) {
    return OrCodes(NibbleCodes::At<kType, s>(planes), PairAt<kType, s, 4>(planes));
  }
};
struct TwoBitCodes {
  using Dot = PlanesDot<HalfDot>;
  static constexpr int kSteps = HalfSteps(3);
  template <DType kType, int s>
  BRAID_WORD static Codes At(const uint8_t* planes) {
    return PairAt<kType, s, 0>(planes);
  }
};
struct ThreeBitCodes {
  using Dot = PlanesDot<HalfDot>;
  static constexpr int kSteps = HalfSteps(7);
  template <DType kType, int s>
  BRAID_WORD static Codes At(const uint8_t* planes) {
    return OrCodes(PairAt<kType, s, 0>(planes), BitAt<kType, s, 2>(planes));
  }
};
struct ByteCodes {
  using Dot = PlanesDot<ByteDot>;
  static constexpr int kSteps = 8;
  template <DType kType, int s>
  BRAID_WORD static ByteWeights At(const uint8_t* planes) {
    return ByteWeights::Of(LoadCodes(planes + s * kUnitBytes));
  }
};

// Twice E2M1's values, and 12.
alignas(16) inline constexpr uint8_t kE2m1Codes[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
struct E2m1Codes {
  using Dot = PlanesDot<HalfDot>;
  static constexpr int kSteps = HalfSteps(24);
  template <DType kType, int s>
  BRAID_WORD static Codes At(const uint8_t* planes) {
    return LookUp(kE2m1Codes, NibbleCodes::At<kType, s>(planes));
  }
};
// kIq4Values, and 128.
alignas(16) inline constexpr uint8_t kIq4Codes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                      129, 141, 153, 166, 181, 197, 217, 241};
struct Iq4Codes {
  using Dot = PlanesDot<ByteDot>;
  static constexpr int kSteps = 8;
  template <DType kType, int s>
  BRAID_WORD static ByteWeights At(const uint8_t* planes) {
    return ByteWeights::Of(LookUp(kIq4Codes, NibbleCodes::At<kType, s>(planes)));
  }
};

// ---- scales: `scales` stands behind a block's codes, `lane` is the register's first row, `half` the block's

// What stands before kHeadBlocks blocks.
struct Head {
  Floats scale, min;
  BRAID_WORD static Head Load(const uint8_t* head, int lane, bool has_min) {
    const uint16_t* const words = reinterpret_cast<const uint16_t*>(head) + lane;
    return {WidenF16(words), has_min ? WidenF16(words + kPanelRows) : ZeroFloats()};
  }
};

struct F16Scale {
  static constexpr bool kHasMin = false;
  BRAID_WORD static Floats Scale(const Head&, const uint8_t* scales, int lane, int) {
    return WidenF16(reinterpret_cast<const uint16_t*>(scales) + lane);
  }
};
struct F16ScaleAndMin : F16Scale {
  static constexpr bool kHasMin = true;
  BRAID_WORD static Floats Min(const Head&, const uint8_t* scales, int lane, int) {
    return WidenF16(reinterpret_cast<const uint16_t*>(scales) + kPanelRows + lane);
  }
};
// INT4, INT8
struct F16ScaleAndZero : F16Scale {
  BRAID_WORD static Codes Zero(const uint8_t* scales, int lane) {
    return LanesOf(LoadScales(scales + 2 * kPanelRows + lane));
  }
};
struct E4m3Scales {
  static constexpr bool kHasMin = false;
  BRAID_WORD static Floats Scale(const Head&, const uint8_t* scales, int lane, int half) {
    return WidenE4m3(scales + half * kPanelRows + lane);
  }
};
struct E8m0Scale {
  static constexpr bool kHasMin = false;
  BRAID_WORD static Floats Scale(const Head&, const uint8_t* scales, int lane, int) { return WidenE8m0(scales + lane); }
};
// Q4_K, Q5_K
struct FactorAndMin {
  static constexpr bool kHasMin = true;
  BRAID_WORD static Floats Scale(const Head& head, const uint8_t* scales, int lane, int) {
    return MulFloats(head.scale, WidenU8(LoadScales(scales + lane)));
  }
  BRAID_WORD static Floats Min(const Head& head, const uint8_t* scales, int lane, int) {
    return MulFloats(head.min, WidenU8(LoadScales(scales + kPanelRows + lane)));
  }
};
// Q2_K
struct HalfFactorsAndMins {
  static constexpr bool kHasMin = true;
  BRAID_WORD static Floats Scale(const Head& head, const uint8_t* scales, int lane, int half) {
    return MulFloats(head.scale, WidenU8(LowNibbles(LoadScales(scales + half * kPanelRows + lane))));
  }
  BRAID_WORD static Floats Min(const Head& head, const uint8_t* scales, int lane, int half) {
    return MulFloats(head.min, WidenU8(HighNibbles(LoadScales(scales + half * kPanelRows + lane))));
  }
};
// Q3_K, Q6_K
struct HalfFactors {
  static constexpr bool kHasMin = false;
  BRAID_WORD static Floats Scale(const Head& head, const uint8_t* scales, int lane, int half) {
    return MulFloats(head.scale, WidenI8(LoadScales(scales + half * kPanelRows + lane)));
  }
};

// ---- formats: a group of 32 / kGroups inputs shares a scale; code kZero means 0; sums are of 1 / kUnit

template <DType kDType, class CodesOf, class ScalesOf, int kNumGroups, int kZeroCode = 0>
struct BlockFormat : CodesOf, ScalesOf {
  static constexpr DType kType = kDType;
  static constexpr PanelFormat kLayout = PanelFormatOf(kDType);
  static constexpr int kGroups = kNumGroups;
  static_assert(kZeroCode % 4 == 0);

  // Minus the products of the zero codes of group `g`.
  BRAID_WORD static int32_t Offset(const QuantizedBlock& x, int g) {
    if (kZeroCode % 8 == 0) return Minus8(x, g) * (kZeroCode / 8);
    return Minus8(x, g) / 2 * (kZeroCode / 4);
  }
  // The scaled sum of its activations.
  BRAID_WORD static float ScaledSum(const QuantizedBlock& x, int g) {
    return kGroups == 1 ? x.scaled_sum : x.scale * static_cast<float>(Minus8(x, g) / -8);
  }

 private:
  BRAID_WORD static int32_t Minus8(const QuantizedBlock& x, int g) {
    if (kGroups == 1) return x.minus_8_sums;
    return g == 0 ? x.minus_8_first_sums : x.minus_8_sums - x.minus_8_first_sums;
  }
};

using Q8_0Format = BlockFormat<DType::kQ8_0, ByteCodes, F16Scale, 1, 128>;
using Q4_0Format = BlockFormat<DType::kQ4_0, NibbleCodes, F16Scale, 1, 8>;
using Q4_1Format = BlockFormat<DType::kQ4_1, NibbleCodes, F16ScaleAndMin, 1>;
using Q5_0Format = BlockFormat<DType::kQ5_0, FiveBitCodes, F16Scale, 1, 16>;
using Q5_1Format = BlockFormat<DType::kQ5_1, FiveBitCodes, F16ScaleAndMin, 1>;
using Iq4NlFormat = BlockFormat<DType::kIQ4_NL, Iq4Codes, F16Scale, 1, 128>;
using Int4Format = BlockFormat<DType::kInt4, NibbleCodes, F16ScaleAndZero, 1>;
using Int8Format = BlockFormat<DType::kInt8, ByteCodes, F16ScaleAndZero, 1>;
using Q2_KFormat = BlockFormat<DType::kQ2_K, TwoBitCodes, HalfFactorsAndMins, 2>;
using Q3_KFormat = BlockFormat<DType::kQ3_K, ThreeBitCodes, HalfFactors, 2, 4>;
using Q4_KFormat = BlockFormat<DType::kQ4_K, NibbleCodes, FactorAndMin, 1>;
using Q5_KFormat = BlockFormat<DType::kQ5_K, FiveBitCodes, FactorAndMin, 1>;
using Q6_KFormat = BlockFormat<DType::kQ6_K, SixBitCodes, HalfFactors, 2, 32>;
using NvFp4Format = BlockFormat<DType::kNVFP4, E2m1Codes, E4m3Scales, 2, 12>;
using MxFp4Format = BlockFormat<DType::kMXFP4, E2m1Codes, E8m0Scale, 1, 12>;

// Each block has a zero of its own.
template <class Format>
concept HasZero = requires(const uint8_t* scales) { Format::Zero(scales, 0); };

}  // namespace braid::cpu::BRAID_ISA
