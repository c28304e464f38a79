#include <algorithm>

#include "kernels/linear/ref_packed_weight.h"
#include "kernels/ref_ops.h"

namespace braid::ref {

void Embedding(const EmbeddingArgs& args) {
  const RefPackedWeight& table = RefPackedWeight::Of(args.table);
  const int64_t first = std::max(args.first_id, 0);
  for (int64_t t = 0; t < args.y.rows; ++t) {
    const int64_t row = args.ids[t] - first;
    if (row >= 0 && row < table.rows()) std::copy_n(table.row(row), table.cols(), args.y.row(t));
    else std::fill_n(args.y.row(t), table.cols(), 0.0f);
  }
}

void GatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) {
  for (size_t i = 0; i < rows.size(); ++i) std::copy_n(x.row(rows[i]), x.cols, y.row(static_cast<int64_t>(i)));
}

}  // namespace braid::ref
