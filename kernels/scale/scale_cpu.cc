#include "kernels/cpu_ops.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {

void Scale(const ScaleArgs& args, const Share& share, Scratch& scratch) {
  if (scratch.measuring()) return;
  const int64_t width = args.x.cols;
  const Share::Range mine = share.Of(args.x.rows);
  for (int64_t t = mine.begin; t < mine.end; ++t) {
    for (int64_t j = 0; j < width; j += kLanes) {
      const int lanes = width - j < kLanes ? static_cast<int>(width - j) : kLanes;
      Store(args.y.row(t) + j, Load(args.x.row(t) + j, lanes) * Load(args.factors + j, lanes), lanes);
    }
  }
  share.Sync();
}

}  // namespace braid::cpu::BRAID_ISA
