// y[t] = table[ids[t] - first_id]: token rows of a table in any weight format; zeros where the table has no such row.
#pragma once

#include <span>

#include "kernels/tensor.h"

namespace braid {

class PackedWeight;

struct EmbeddingArgs {
  std::span<const int32_t> ids;   // [tokens]; of a whole table each below its rows
  const PackedWeight* table;      // [vocab, hidden]
  TensorView y;                   // [tokens, hidden]
  int32_t first_id = -1;          // of a table that is a part of a whole one; -1: it is whole
};

}  // namespace braid
