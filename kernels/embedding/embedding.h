// y[t] = table[ids[t]]: token rows of a table in any weight format.
#pragma once

#include <span>

#include "kernels/tensor.h"

namespace braid {

class PackedWeight;

struct EmbeddingArgs {
  std::span<const int32_t> ids;   // [tokens], each below table rows
  const PackedWeight* table;      // [vocab, hidden]
  TensorView y;                   // [tokens, hidden]
};

}  // namespace braid
