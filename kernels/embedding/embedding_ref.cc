#include <algorithm>

#include "kernels/linear/ref_packed_weight.h"
#include "kernels/ref_ops.h"

namespace braid::ref {

void Embedding(const EmbeddingArgs& args) {
  const RefPackedWeight& table = RefPackedWeight::Of(args.table);
  for (int64_t t = 0; t < args.y.rows; ++t) std::copy_n(table.row(args.ids[t]), table.cols(), args.y.row(t));
}

void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) {
  for (size_t i = 0; i < rows.size(); ++i) std::copy_n(x.row(rows[i]), x.cols, y.row(static_cast<int64_t>(i)));
}

}  // namespace braid::ref
