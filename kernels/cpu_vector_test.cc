#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu_backend.h"
#include "kernels/float_types.h"
#include "kernels/testing/op_test.h"
#include "kernels/testing/vector_probe.h"

namespace braid {
namespace {

using cpu::VectorProbe;
using Map = void (*)(const float*, int64_t, float*);
constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class Body>
void ForEachProbe(const Body& body) {
  testing::ForEachIsa([&](const std::string& isa) {
    body(isa == "avx2" ? cpu::avx2::kVectorProbe
                       : isa == "avx512" ? cpu::avx512::kVectorProbe : cpu::avx512_vnni::kVectorProbe);
  });
}

// Values over the whole range of exp, densely, and the special ones.
std::vector<float> Inputs() {
  std::vector<float> x = {0.0f, -0.0f, kInfinity, -kInfinity, NAN, 1e30f, -1e30f, 1e-30f, -1e-40f, 65504.0f, 65520.0f, 6e-8f, 88.72f, -87.33f, 88.8f, -104.0f};
  for (float v = -110; v < 110; v += 0.0013f) x.push_back(v);
  x.resize((x.size() + 15) / 16 * 16, 1.0f);
  return x;
}

std::vector<float> Apply(Map map, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  map(x.data(), static_cast<int64_t>(x.size()), y.data());
  return y;
}

double UlpsFrom(float got, double wanted) {
  const float near = static_cast<float>(wanted);
  return std::abs(got - wanted) / (std::nextafter(std::abs(near), kInfinity) - std::abs(near));
}

TEST(CpuVector, ExpIsWithinOneUlp) {
  const std::vector<float> x = Inputs();
  ForEachProbe([&](const VectorProbe& probe) {
    const std::vector<float> y = Apply(probe.exp, x);
    for (size_t i = 0; i < x.size(); ++i) {
      if (!(x[i] > -87.33f && x[i] < 88.72f)) continue;
      ASSERT_LE(UlpsFrom(y[i], std::exp(double{x[i]})), 1.0) << x[i];
    }
  });
}

TEST(CpuVector, ExpOfExtremes) {
  std::vector<float> x = {-kInfinity, -1e30f, -88.0f, kInfinity, 89.0f, 0.0f};
  x.resize(16, NAN);
  ForEachProbe([&](const VectorProbe& probe) {
    const std::vector<float> y = Apply(probe.exp, x);
    for (int i : {0, 1, 2}) EXPECT_EQ(y[i], 0.0f) << x[i];
    for (int i : {3, 4}) EXPECT_EQ(y[i], kInfinity) << x[i];
    EXPECT_EQ(y[5], 1.0f);
    EXPECT_TRUE(std::isnan(y[6]));
  });
}

TEST(CpuVector, SoftplusIsWithinFourUlpAndSiluWithinFour) {
  const std::vector<float> x = Inputs();
  ForEachProbe([&](const VectorProbe& probe) {
    const std::vector<float> softplus = Apply(probe.softplus, x), silu = Apply(probe.silu, x);
    for (size_t i = 0; i < x.size(); ++i) {
      if (!(std::abs(x[i]) < 86)) continue;
      const double e = std::exp(-std::abs(double{x[i]}));
      ASSERT_LE(UlpsFrom(softplus[i], std::max(0.0, double{x[i]}) + std::log1p(e)), 4.0) << x[i];
      ASSERT_LE(std::abs(silu[i] - x[i] / (1 + std::exp(-double{x[i]}))), 4 * 0x1p-24 * std::abs(x[i] / (1 + std::exp(-double{x[i]})))+1e-44) << x[i];
    }
  });
}

TEST(CpuVector, ShortFloatsRoundAsOnTheHost) {
  const std::vector<float> x = Inputs();
  ForEachProbe([&](const VectorProbe& probe) {
    const std::vector<float> f16 = Apply(probe.through_f16, x), bf16 = Apply(probe.through_bf16, x);
    for (size_t i = 0; i < x.size(); ++i) {
      if (std::isnan(x[i])) {
        EXPECT_TRUE(std::isnan(f16[i]) && std::isnan(bf16[i]));
        continue;
      }
      ASSERT_EQ(f16[i], ToFloat(ToF16(x[i]))) << x[i];
      ASSERT_EQ(bf16[i], ToFloat(ToBf16(x[i]))) << x[i];
    }
  });
}

TEST(CpuVector, PartialCopiesTouchNothingElse) {
  std::vector<float> x(16);
  for (int i = 0; i < 16; ++i) x[i] = static_cast<float>(i + 1);
  ForEachProbe([&](const VectorProbe& probe) {
    for (int n = 0; n <= 16; ++n) {
      std::vector<float> y(32, -1.0f);
      probe.copy_first(x.data(), n, y.data());
      for (int i = 0; i < 16; ++i) {
        EXPECT_EQ(y[i], i < n ? x[i] : -1.0f);
        EXPECT_EQ(y[16 + i], i < n ? x[i] : 7.0f);
      }
    }
  });
}

TEST(CpuVector, AllIsasGiveEqualBits) {
  const std::vector<float> x = Inputs();
  if (!AllCpuIsas()[0].supported()) GTEST_SKIP() << "this machine lacks avx2";
  const VectorProbe& first = cpu::avx2::kVectorProbe;
  ForEachProbe([&](const VectorProbe& probe) {
    for (auto map : {&VectorProbe::exp, &VectorProbe::silu, &VectorProbe::softplus, &VectorProbe::through_f16, &VectorProbe::through_bf16}) {
      const std::vector<float> a = Apply(first.*map, x), b = Apply(probe.*map, x);
      EXPECT_TRUE(testing::SameBits(a.data(), b.data(), static_cast<int64_t>(a.size())));
    }
    for (size_t i = 16; i + 16 <= 160016; i += 16) ASSERT_EQ(first.sum(&x[i]), probe.sum(&x[i]));
  });
}

}  // namespace
}  // namespace braid
