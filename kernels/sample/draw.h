// The one uniform number behind each sampled token.
#pragma once

#include "kernels/sample/philox.h"

namespace braid {

// Below it a row is greedy: its distribution is one token in f32.
inline constexpr float kGreedyTemperature = 1e-5f;

// The uniform number in [0, 1) that decides the token at `position` of one choice of a request: 53 bits.
inline double UniformDraw(uint64_t seed, uint32_t stream, uint32_t position) {
  const PhiloxCounter words =
      Philox4x32({position, stream, 0, 0}, {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return static_cast<double>((uint64_t{words[0]} << 32 | words[1]) >> 11) * 0x1p-53;
}

}  // namespace braid
