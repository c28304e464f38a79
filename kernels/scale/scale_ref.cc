#include "kernels/scale/scale.h"

namespace braid::ref {

void Scale(const ScaleArgs& args) {
  for (int64_t t = 0; t < args.x.rows; ++t) {
    for (int64_t j = 0; j < args.x.cols; ++j) args.y.row(t)[j] = args.x.row(t)[j] * args.factors[j];
  }
}

}  // namespace braid::ref
