// How exact CUDA's matrix products are: a choice of the engine, for speed.
#pragma once

#include <cstdint>

namespace braid {

// kFull: as f32, whose numbers are taken apart into three bf16 numbers. kBf16: inputs are rounded to bf16, and so are
// weights and cached keys and values that are finer; sums stay f32.
enum class Precision : uint8_t { kFull, kBf16 };

}  // namespace braid
