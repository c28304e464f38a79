#include "kernels/checks.h"

#include "kernels/base/errors.h"
#include "kernels/packed_weight.h"

namespace braid {
namespace {

void CheckMatrix(const TensorView& view, const char* name) {
  CHECK(view.dtype == DType::kF32) << name << " is " << DTypeName(view.dtype);
  CHECK(view.rows >= 0 && view.cols >= 0 && view.stride >= view.cols)
      << name << " [" << view.rows << ", " << view.cols << "] stride " << view.stride;
}

}  // namespace

void Check(const LinearArgs& args) {
  CheckMatrix(args.x, "x");
  CheckMatrix(args.y, "y");
  const bool gated = args.epilogue == Epilogue::kSiluGate;
  CHECK_EQ(args.x.rows, args.y.rows);
  CHECK_EQ(args.x.cols, args.weight->cols());
  CHECK_EQ(args.y.cols * (gated ? 2 : 1), args.weight->rows());
  CHECK(!gated || args.bias == nullptr);
}

void Check(const EmbeddingArgs& args) {
  CheckMatrix(args.y, "y");
  CHECK_EQ(args.y.rows, static_cast<int64_t>(args.ids.size()));
  CHECK_EQ(args.y.cols, args.table->cols());
  for (int32_t id : args.ids) CHECK(id >= 0 && id < args.table->rows()) << "id " << id << " of " << args.table->rows();
}

void Check(const ExpertsArgs& args) {
  CheckMatrix(args.x, "x");
  CheckMatrix(args.y, "y");
  CHECK(args.top_k > 0) << args.top_k;
  CHECK_EQ(args.up.size(), args.down.size());
  CHECK_EQ(args.x.rows, args.y.rows);
  CHECK_EQ(args.x.cols, args.y.cols);
  for (size_t e = 0; e < args.up.size(); ++e) {
    CHECK_EQ(args.up[e]->cols(), args.x.cols);
    CHECK_EQ(args.up[e]->rows(), args.up[0]->rows());
    CHECK_EQ(args.down[e]->cols(), args.up[0]->rows());
    CHECK_EQ(args.down[e]->rows(), args.y.cols);
  }
}

void CheckGatherRows(TensorView x, std::span<const int32_t> rows, TensorView y) {
  CheckMatrix(x, "x");
  CheckMatrix(y, "y");
  CHECK_EQ(static_cast<int64_t>(rows.size()), y.rows);
  CHECK_EQ(x.cols, y.cols);
}

}  // namespace braid
