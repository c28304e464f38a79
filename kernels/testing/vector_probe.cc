#include "kernels/testing/vector_probe.h"

#include "kernels/cpu_vector.h"

namespace braid::cpu::BRAID_ISA {
namespace {

template <V16 (*F)(V16)>
void Map(const float* x, int64_t count, float* y) {
  for (int64_t i = 0; i < count; i += kLanes) Store(y + i, F(Load(x + i)));
}

V16 ExpOf(V16 x) { return Exp(x); }
V16 SiluOf(V16 x) { return Silu(x); }
V16 SoftplusOf(V16 x) { return Softplus(x); }
V16 ThroughF16(V16 x) {
  uint16_t stored[kLanes];
  StoreF16(stored, x);
  return LoadF16(stored);
}
V16 ThroughBf16(V16 x) {
  uint16_t stored[kLanes];
  StoreBf16(stored, x);
  return LoadBf16(stored);
}

float SumOf(const float* x) { return Sum(Load(x)); }

void CopyFirst(const float* x, int n, float* y) {
  Store(y, Load(x, n), n);
  Store(y + kLanes, KeepFirst(Load(x), n, Set1(7.0f)));
}

}  // namespace

const VectorProbe kVectorProbe = {Map<ExpOf>,     Map<SiluOf>,     Map<SoftplusOf>, Map<ThroughF16>,
                                  Map<ThroughBf16>, SumOf, CopyFirst};

}  // namespace braid::cpu::BRAID_ISA
